//! `moe predict` with wrong arguments, files and rows: a sentence that says what and where, and never a lost input. Rows that
//! are skipped, and a stop between good rows, are in `predict.rs`.

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::people::{csv, predict, table};
use common::{Place, Ran, check_refused, gzip};

#[test]
fn arguments_and_files() {
    let place = table();
    place.write("rows.csv", csv(0..5));
    place.write("few.csv", "User,age,job\nu1,3,smith\n");
    place.write("twice.csv", "user,age,job,age\n");
    place.write("nothing.csv", "");
    place.write("cut.csv.gz", &gzip(&csv(0..500))[..1000]);
    place.write("rows.txt", "");
    place.write("folder/file", "");
    check_refused(
        &place,
        &["predict"],
        &[
            ("run", 2, &["--input <INPUT>"]),
            ("none --input rows.csv", 1, &["none: is not the directory of a run"]),
            ("run --input none.csv", 1, &["none.csv: cannot be read"]),
            ("run --input folder --input-format csv", 1, &["folder: cannot be read"]),
            (
                "run --input rows.txt",
                2,
                &["cannot infer the format of rows.txt: use .csv", "--input-format"],
            ),
            ("run --input -", 2, &["cannot infer the format of standard input", "--input-format"]),
            ("run --input few.csv", 1, &["few.csv, line 1: no column \"user\"", "mean \"User\"?"]),
            ("run --input few.csv --bad-rows skip", 1, &["few.csv, line 1: no column \"user\""]),
            ("run --input twice.csv", 1, &["two columns \"age\" in the header; allowed: one"]),
            ("run --input nothing.csv", 1, &["nothing.csv, line 1: the file holds no rows"]),
            (
                "run --input rows.csv --keep usr",
                1,
                &[
                    "no column \"usr\"",
                    "did you mean \"user\"?",
                    "allowed: one column of this name; asked for are",
                ],
            ),
            ("run --input rows.csv --keep age,age", 2, &["would have two columns age"]),
            (
                "run --input rows.csv --keep age,nocol",
                1,
                &[
                    "no column \"nocol\" in the header",
                    "allowed: one column of this name; asked for are \"user, age, job, nocol\"",
                ],
            ),
            ("run --input rows.csv --batch-rows 0", 2, &["1..=65536"]),
            ("run --input rows.csv --batch-rows 1000000000000", 2, &["1..=65536"]),
            ("run --input rows.csv --non-finite skip", 2, &["'skip'", "refuse, null"]),
            ("run --input rows.csv --threads 0", 2, &["--threads 0 is not allowed"]),
            ("run --input rows.csv --output folder", 1, &["folder: is not a file; "]),
            (
                "run --input rows.csv --output ./rows.csv",
                2,
                &["--output rows.csv is the input, which"],
            ),
            ("run --input rows.csv --output no/where.csv", 1, &["no/where.csv: "]),
        ],
    );
    let cut = predict(&place, "--input cut.csv.gz --bad-rows skip --output out.csv");
    cut.failed(1, &["cut.csv.gz, line ", "the packed data end too early", ", in out.csv."]);
    assert!(!place.path("out.csv").exists());
    let changed = place.text("run/features.json").replace("u1", "v1");
    place.write("run/features.json", changed);
    predict(&place, "--input rows.csv").failed(1, &["run/features.json: has been changed"]);
}

/// Each of these files has one row, or none, that cannot be read.
#[test]
fn rows_that_cannot_be_read() {
    let place = table();
    let long = "x".repeat(3 << 20);
    let user = |rest: &str| format!("{{\"user\":\"u1\",{rest}}}\n");
    let line = |rest: &str| format!("user,age,job\nu1,{rest}\n");
    for (name, text, says) in [
        (
            "a.jsonl",
            "[{\"user\":\"u1\"}]\n".into(),
            "line 1: invalid type: sequence, expected an object",
        ),
        ("a.jsonl", "[".repeat(200_000), "line 1: invalid type: sequence, expected an object"),
        (
            "a.jsonl",
            user(&format!("\"job\":\"\",\"age\":{}", "[".repeat(200_000))),
            "expected value; allowed: a JSON object",
        ),
        (
            "a.jsonl",
            user("\"job\":\"\",\"age\":{\"a\":1}"),
            "line 1: field \"age\" is \"{\\\"a\\\":1}\"; allowed: a text",
        ),
        ("a.jsonl", user("\"job\":\"\",\"age\":3,\"age\":3"), "line 1, column 38: a field twice"),
        ("a.jsonl", user("\"job\":\"\",\"age\":true"), "field \"age\": \"true\" is not a number"),
        ("a.jsonl", user("\"job\":\"\",\"age\":NaN"), "line 1, column 29: expected value"),
        (
            "a.jsonl",
            user(&format!("\"job\":\"{long}\",\"age\":3")),
            "line 1: the line has more than 1048576 bytes",
        ),
        ("a.csv", line(&format!("3,{long}")), "line 2: the line has more than 1048576 bytes"),
        (
            "a.csv",
            line("NaN,smith"),
            "line 2, column 2 (age): \"NaN\" is not a number; allowed: a finite number",
        ),
        ("a.csv", line("-inf,smith"), "line 2, column 2 (age): \"-inf\" is not a number"),
        (
            "a.csv",
            line("1e999,smith"),
            "line 2, column 2 (age): \"1e999\" is beyond single precision",
        ),
        ("a.csv", "user,age,job,user\n".into(), "line 1: two columns \"user\" in the header"),
    ] {
        place.write(name, text);
        let ran = predict(&place, &format!("--input {name} --output out.csv")).failed(1, &[says]);
        assert!(ran.stderr.starts_with(&format!("error: {name}, line ")), "{}", ran.stderr);
        assert!(ran.stderr.len() < 1000, "a sentence, not a page: {}", ran.stderr);
        assert!(!place.path("out.csv").exists());
    }
    let args = ["predict", "run", "--input", "-", "--input-format", "csv"];
    let ran = Ran::of(place.command(&args).write_stdin(""));
    ran.failed(1, &["standard input, line 1: the file holds no rows; allowed: a header with the"]);
}

#[test]
fn rows_that_are_only_unusual() {
    let place = table();
    for (name, text, rows) in [
        ("a.csv", "\u{feff}user,age,job\r\nu1,3,smith\r\n", 1),
        ("a.csv", "user,age,job\n", 0),
        ("a.jsonl", "\n\n{\"user\":\"u1\",\"age\":\"3\",\"job\":\"smith\"}\n\n", 1),
        // A number and a truth as categories that training has not seen.
        ("a.jsonl", "{\"user\":\"u1\",\"age\":3,\"job\":7}\n", 1),
        ("a.jsonl", "{\"user\":\"u1\",\"age\":null,\"job\":true}\n", 1),
    ] {
        place.write(name, text);
        let ran = predict(&place, &format!("--input {name} --output-format csv")).succeeded();
        assert_eq!(ran.stdout.lines().count(), 1 + rows, "{text}: {ran:?}");
    }
}

/// The predictions never take the place of the rows that they are for, by whatever name.
#[cfg(unix)]
#[test]
fn an_output_that_is_the_input() {
    let place = table();
    let rows = csv(0..20);
    place.write("rows.csv", &rows);
    place.write("folder/file", "");
    std::os::unix::fs::symlink("rows.csv", place.path("soft.csv")).unwrap();
    std::os::unix::fs::symlink("..", place.path("folder/up")).unwrap();
    for [input, output] in [
        ["rows.csv", "rows.csv"],
        ["rows.csv", "folder/../rows.csv"],
        ["rows.csv", "folder/up/rows.csv"],
        ["rows.csv", "soft.csv"],
        ["soft.csv", "rows.csv"],
    ] {
        let ran = predict(&place, &format!("--input {input} --output {output}"));
        ran.failed(2, &[&format!("--output {input} is the input, which the predictions would")]);
        assert_eq!(place.text("rows.csv"), rows);
    }
    // A second name for the same file: the name changes hands, the rows stay.
    fs::hard_link(place.path("rows.csv"), place.path("hard.csv")).unwrap();
    predict(&place, "--input rows.csv --output hard.csv").succeeded();
    assert_eq!(place.text("rows.csv"), rows);
    assert_eq!(place.text("hard.csv").lines().count(), 21);
    assert!(place.text("hard.csv").starts_with("line,bought.probability,"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_and_a_closed_stderr() {
    let place = table();
    place.write("rows.csv", csv(0..20));
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let start = |place: &Place, stdout: Stdio, stderr: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_moe"));
        command.current_dir(place.path("")).args(["predict", "run", "--input", "rows.csv"]);
        command.stdout(stdout).stderr(stderr).output().unwrap()
    };
    let output = start(&place, full().into(), Stdio::piped());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: standard output: "), "{stderr}");
    let output = start(&place, Stdio::piped(), full().into());
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout.iter().filter(|&&byte| byte == b'\n').count(), 21);
    let ran = predict(&place, "--input rows.csv --output /dev/full");
    ran.failed(1, &["/dev/full: is not a file; pass --output - for stdout"]);
}
