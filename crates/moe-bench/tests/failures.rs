//! What goes wrong with data, files and training: status 1, a sentence that says what and where, no results on stdout,
//! and never a panic.

mod common;

use std::process::{Command, Stdio};

use common::{Place, Ran, SMOKE, TINY, check_refused, gzip, movielens};
use moe_core::Real;

/// The arguments of a comparison on a folder of MovieLens files.
const MOVIELENS: &str = "--dataset movielens-1m-mtl --data-dir data";

#[test]
fn files_of_data() {
    let place = Place::new();
    let args = [&SMOKE[..], &MOVIELENS.split(' ').collect::<Vec<_>>()].concat();
    let refused = |says: &[&str]| {
        place.run(&args).failed(1, says);
        assert!(place.list("runs").is_empty());
    };
    refused(&["needs val.csv.gz in data", "movielens-1m-mtl", "MOE_DATA_DIR", "Get it from"]);
    // The folder of the cache is what stands in for --data-dir.
    let cache = place.run(&[&SMOKE[..], &["--dataset", "movielens-1m-mtl"]].concat());
    cache.failed(1, &["needs val.csv.gz in ", "cache"]);

    let packed = gzip(&movielens(5000));
    let file = "data/movielens-1m-mtl/val.csv.gz";
    for (bytes, says) in [
        (&packed[..packed.len() / 2], "val.csv.gz, line "),
        (&packed[..packed.len() - 4], "cut short"),
        (b"0,0,1,4\n", "val.csv.gz"),
        (b"", "val.csv.gz"),
    ] {
        place.write(file, bytes);
        refused(&[says, "val.csv.gz"]);
    }
    for (line, says) in [
        (
            "9,9,1,six",
            &["line 4, column 4 (rating)", "\"six\" is not a whole number", "0 to 5"][..],
        ),
        ("9,9,1,6", &["line 4, column 4 (rating)", "\"6\"", "allowed: 0 to 5"]),
        (
            "9,9,1,0",
            &["line 4, column 4 (rating)", "contradicts watch = 1", "1 to 5 where watch is 1"],
        ),
        ("9,9,2,1", &["line 4, column 3 (watch)", "allowed: 0 to 1"]),
        ("6040,9,1,1", &["line 4, column 1 (user)", "allowed: 0 to 6039"]),
        ("9,NaN,1,1", &["line 4, column 2 (movie)", "allowed: 0 to 3951"]),
        ("9,9,1", &["line 4: 3 fields", "4 fields, user,movie,watch,rating"]),
    ] {
        place.write(file, gzip(&format!("{}{line}\n{}", movielens(3), movielens(20))));
        refused(&[&["val.csv.gz, "], says].concat());
    }
    // The tenth row would be the first of the test split.
    for (rows, says) in [(0, "holds no rows"), (8, "the val split"), (9, "the test split")] {
        place.write(file, gzip(&movielens(rows)));
        refused(&[says]);
    }
    place.write(file, gzip(&movielens(10)));
    place.run(&args).succeeded();
    let other = [&args[..], &["--set", "dataset.test_file=none.csv"]].concat();
    place.run(&other).failed(1, &["none.csv: cannot be read"]);
}

#[test]
fn training_that_runs_away_names_the_step_and_the_term() {
    let place = Place::new();
    let rate = if size_of::<Real>() == 4 { "1e30" } else { "1e300" };
    let set = format!("--set train.learning_rate={rate}");
    let says = &["router softmax, seed 1: step ", "(epoch 1): ", " is ", "smaller learning rate"];
    check_refused(
        &place,
        &SMOKE,
        &[
            (&set, 1, says),
            (&format!("{set} --dataset restaurant"), 1, &[&says[..], &["rating is"]].concat()),
        ],
    );
    let train = ["train", "--preset", "smoke", "--set", &set[6..], "--out", "run"];
    place.run(&train).failed(1, says);
    // From its start it comes to the same.
    place.run(&[&train[..], &["--resume"]].concat()).failed(1, says);
}

#[test]
fn data_that_cannot_be_computed_with_are_named_and_no_rate_is_advised() {
    let place = Place::new();
    place.write("huge.toml", HUGE);
    let table = |age: &str| -> String {
        let line = |row: usize| format!("{},{age},{}\n", row % 5, row % 2);
        "tenure,age,bought\n".to_string() + &(0..40).map(line).collect::<String>()
    };
    place.write("data.csv", table("3e38"));
    let args = ["train", "--config", "huge.toml", "--progress", "none", "--out", "run"];
    if size_of::<Real>() == 8 {
        // Double precision computes with any number that a table may hold.
        place.run(&args).succeeded();
        return;
    }
    let says = [
        "step 1 (epoch 1): bought is ",
        "; dense value 1 of the row with id ",
        " is 3e38, which is too large to compute with; scale the data (that is column age)",
    ];
    let ran = place.run(&args).failed(1, &says);
    assert!(!ran.stderr.contains("learning rate"), "{}", ran.stderr);
    // The same with a sound number trains.
    place.write("data.csv", table("4"));
    place.run(&[&args[..6], &["other"]].concat()).succeeded();
}

/// A table whose numbers are not scaled, in batches of all rows.
const HUGE: &str = r#"
[dataset]
name = "table"

[dataset.table]
file = "data.csv"
numbers = ["tenure", "age"]
scaling = "none"
targets = [{ column = "bought", kind = "binary" }]

[model]
experts = 2
expert_width = 4

[train]
epochs = 1

[run]
routers = ["top-k"]
"#;

#[test]
fn places_that_cannot_be_written() {
    let place = Place::new();
    place.write("file", "");
    place.write("full/of", "things");
    check_refused(
        &place,
        &TINY,
        &[
            ("--out file", 1, &["file: is a file; pass a new directory with --out"]),
            ("--out full", 1, &["full: is not empty; pass a new directory with --out"]),
            ("--out file/below", 1, &["file/below: "]),
            ("--out=", 2, &["--out"]),
        ],
    );
    if cfg!(target_os = "linux") {
        check_refused(
            &place,
            &TINY,
            &[
                ("--out /proc/moe", 1, &["/proc/moe: "]),
                ("--out /sys/moe", 1, &["/sys/moe: "]),
                ("--out /dev/full", 1, &["/dev/full: "]),
            ],
        );
    }
    place.write("runs", "not a folder");
    check_refused(&place, &TINY, &[("", 1, &["runs: "])]);
    assert_eq!(place.text("file"), "");
}

/// Nobody reads on: the work is done all the same, and nothing is said about a panic.
#[test]
fn a_closed_pipe_is_no_mistake() {
    let place = Place::new();
    let args = ["compare", "--preset", "smoke", "--progress", "plain", "--format", "json", "--out"];
    for (out, closes_stderr) in [("a", false), ("b", true)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_moe"));
        command.args(args).arg(out);
        command.current_dir(place.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        if closes_stderr {
            drop(child.stderr.take());
        } else {
            drop(child.stdout.take());
        }
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        let files =
            ["config.resolved.toml", "report.html", "report.md", "results.json", "runs.jsonl"];
        assert_eq!(place.list(out), files);
        if closes_stderr {
            let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(printed, place.json("b/results.json"));
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_and_names_that_are_no_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let place = Place::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_moe"));
    command.arg("routers").stdout(full).stderr(Stdio::piped());
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: standard output: "), "{stderr}");

    // A stdout that is closed from the start is no reader.
    let call = format!("exec {} routers >&-", env!("CARGO_BIN_EXE_moe"));
    let output = Command::new("sh").args(["-c", &call]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""));

    let name = OsStr::from_bytes(b"caf\xe9");
    for (flag, status, says) in [("--data-dir", 2, "dataset.data_dir"), ("--config", 2, "caf")] {
        let base = if flag == "--config" { &["compare"][..] } else { &TINY };
        let mut command = place.command(base);
        Ran::of(command.arg(flag).arg(name)).failed(status, &[says]);
    }
    Ran::of(place.command(&TINY).arg("--out").arg(name)).succeeded();
}
