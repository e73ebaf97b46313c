//! `moe predict`: the numbers of `Predictor`, both formats, bad rows, and files that are whole or not there.

mod common;

use std::fs;
use std::io::{Read, Write};

use common::people::{csv, jsonl, predict, row, table};
use common::training::{args, place};
use common::{Place, Ran, gzip};
use moe_core::Real;
use moe_core::batch::BatchSource;
use moe_data::FeatureSchema;
use moe_nn::{ModelScratch, Models, Overrides, Predictions, Predictor, SavedModel};
use serde_json::Value;

/// The lines of stdout as objects.
fn objects(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn real(value: &Value) -> Real {
    value.to_string().parse().unwrap()
}

/// The predictions of `Predictor` for rows of the table.
fn predictions(place: &Place, rows: std::ops::Range<usize>) -> Predictions {
    predictions_with(place, rows, &Overrides::default())
}

fn predictions_with(
    place: &Place,
    rows: std::ops::Range<usize>,
    overrides: &Overrides,
) -> Predictions {
    let saved = SavedModel::open(&place.path("run")).unwrap();
    let schema: FeatureSchema = serde_json::from_str(saved.features().unwrap()).unwrap();
    let raw: Vec<[String; 3]> = rows
        .map(|i| {
            let [_, user, age, job, ..] = row(i);
            [user, age, job]
        })
        .collect();
    let inputs = schema.encoder().encode(&raw).unwrap();
    let keys: Vec<u64> = inputs.ids[0].iter().map(|&id| id.into()).collect();
    let mut out = Predictions::default();
    let predictor =
        Predictor::load_with(&place.path("run"), overrides, &Models::standard()).unwrap();
    predictor.predict(&inputs, &keys, &mut out, &mut ModelScratch::default()).unwrap();
    out
}

#[test]
fn it_says_what_the_predictor_says_in_both_formats() {
    let place = table();
    place.write("rows.csv", csv(0..60).replace("\"\n", "\"\r\n"));
    place.write("rows.csv.gz", gzip(&csv(0..60)));
    place.write("rows.jsonl", format!("\u{feff}{}", jsonl(0..60).replace("}\n", "}\r\n\n")));
    let expected = predictions(&place, 0..60);
    let mut values = [Vec::new(), Vec::new(), Vec::new()];
    (0..3).for_each(|task| expected.probabilities(task, &mut values[task]));
    let [bought, stars, colours] = values;

    let ran = predict(&place, "--input rows.jsonl --keep user,note,age").succeeded();
    assert!(ran.stderr.contains("60 rows predicted, 0 skipped, "), "{}", ran.stderr);
    let found = objects(&ran);
    assert_eq!(found.len(), 60);
    let names = ["dark green", "red"];
    for (i, object) in found.iter().enumerate() {
        let [note, user, age, ..] = row(i);
        assert_eq!((&object["user"], &object["note"]), (&user.into(), &note.into()));
        assert_eq!(object["age"], age.parse::<i64>().map_or(Value::Null, Value::from));
        assert_eq!(real(&object["bought.probability"]), bought[i]);
        assert_eq!(real(&object["stars.value"]), stars[i]);
        let of = |name: &str| real(&object[&format!("colour.probability.{name}")]);
        let mut both = names.map(of);
        let class = object["colour.class"].as_str().unwrap();
        assert!(of(class) >= both[0] && of(class) >= both[1]);
        let mut row = colours[2 * i..][..2].to_vec();
        both.sort_by(Real::total_cmp);
        row.sort_by(Real::total_cmp);
        assert_eq!(both[..], row);
        assert_eq!(object.as_object().unwrap().len(), 8);
    }
    let raw = objects(&predict(&place, "--input rows.jsonl --raw").succeeded());
    for (i, object) in raw.iter().enumerate() {
        assert_eq!(object["line"], 2 * i + 1, "blank lines count");
        assert_eq!(real(&object["bought.logit"]), expected.raw(0)[i]);
        assert_eq!(object["colour.class"], found[i]["colour.class"]);
        assert!(object["colour.logit.red"].is_number());
    }

    // CSV in, and both out.
    let same = predict(&place, "--input rows.csv --output-format jsonl --keep user,note,bought");
    for ((i, object), from_json) in objects(&same.succeeded()).iter().enumerate().zip(&found) {
        assert_eq!(object["bought"], Value::from(row(i)[4].clone()));
        for name in ["user", "note", "bought.probability", "stars.value", "colour.class"] {
            assert_eq!(object[name], from_json[name]);
        }
    }
    let ran = predict(&place, "--input rows.csv.gz --keep note,user").succeeded();
    let mut read = ran.stdout.split("\",");
    let header = "note,user,bought.probability,stars.value,colour.class,colour.probability.";
    assert!(read.next().unwrap().starts_with(header), "{}", ran.stdout);
    for (i, line) in read.enumerate() {
        let cells: Vec<&str> = line.split('\n').next().unwrap().split(',').collect();
        assert_eq!(cells[0], row(i)[1]);
        assert_eq!(cells[1].parse(), Ok(bought[i]));
        assert_eq!(cells[2].parse(), Ok(stars[i]));
        assert_eq!(found[i]["colour.class"], cells[3]);
    }
    let lines = predict(&place, "--input rows.csv").succeeded();
    assert!(lines.stdout.starts_with("line,bought.probability,"));
    assert!(lines.stdout.lines().nth(2).unwrap().starts_with("4,"), "a row has two lines");
}

#[test]
fn another_k_or_capacity() {
    let place = table();
    place.write("rows.jsonl", jsonl(0..60));
    let values = |more: &str| -> Vec<Real> {
        let ran = predict(&place, &format!("--input rows.jsonl --raw {more}")).succeeded();
        objects(&ran).iter().map(|object| real(&object["stars.value"])).collect()
    };
    let overrides = |k, inference_capacity_factor| Overrides { k, inference_capacity_factor };
    let mut all = vec![values("")];
    for (more, overrides) in
        [("--k 1", overrides(Some(1), None)), ("--capacity 0.3", overrides(None, Some(0.3)))]
    {
        let found = values(more);
        assert_eq!(found, predictions_with(&place, 0..60, &overrides).raw(1), "{more}");
        assert!(!all.contains(&found), "{more} changes nothing");
        all.push(found);
    }
    predict(&place, "--input rows.jsonl --k 9")
        .failed(2, &["run: router top-k: k = 9 is not allowed with 4 experts"]);
}

#[test]
fn batches_threads_and_packing_do_not_matter() {
    let place = table();
    place.write("rows.csv", csv(0..1200));
    for (i, how) in ["--batch-rows 1", "--batch-rows 7 --threads 3", "--batch-rows 512", ""]
        .into_iter()
        .enumerate()
    {
        predict(&place, &format!("--input rows.csv --output {i}.csv {how}")).succeeded();
        assert!(place.read("0.csv") == place.read(&format!("{i}.csv")), "{how}");
    }
    assert_eq!(place.text("0.csv").lines().count(), 1201);
    predict(&place, "--input rows.csv --output packed.csv.gz").succeeded();
    let mut text = String::new();
    let packed = place.read("packed.csv.gz");
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    assert!(text == place.text("0.csv"));
    assert_eq!(predict(&place, "--input rows.csv --output -").stdout, text);
    assert!(place.unfinished().is_empty());
}

/// Three good rows and, after the second one, a bad one.
fn with_bad(bad: &str) -> String {
    let lines: Vec<String> = (0..3).map(|i| format!("u{i},3{i},smith\n")).collect();
    format!("user,age,job\n{}{}{bad}\n{}", lines[0], lines[1], lines[2])
}

#[test]
fn bad_rows_stop_or_are_skipped() {
    let place = table();
    let long = format!("u1,{},smith", "1".repeat(1 << 20));
    let cases: [(&str, &str); 8] = [
        ("u99,3,smith", "line 4, column 1 (user): \"u99\" is unknown; allowed: a name that was"),
        ("u1,old,smith", "line 4, column 2 (age): \"old\" is not a number; allowed: a finite"),
        ("u1,1e300,smith", "line 4, column 2 (age): \"1e300\" is beyond single precision"),
        ("u1,3", "line 4: 2 fields; allowed: 3 fields, as in the header"),
        ("u1,3,\"a\"x,smith", "line 4: 4 fields; allowed: 3 fields"),
        ("u1,\"3,smith", "line 4, column 2 (age): a quote that is not closed; allowed: fields in"),
        (&long, "line 4: the line has more than 1048576 bytes; allowed: shorter lines"),
        ("u1,3,\u{1}\u{2}smith\n\u{3}", "line 5: 1 fields"),
    ];
    for (bad, says) in cases {
        place.write("rows.csv", with_bad(bad));
        let whole = predict(&place, "--input rows.csv --bad-rows skip").succeeded();
        assert!(whole.stderr.contains(&format!("skipped: rows.csv, {says}")), "{}", whole.stderr);
        assert!(whole.stderr.contains(" rows predicted, 1 skipped, "), "{}", whole.stderr);
        let good = whole.stdout.lines().count() - 1;
        let begun: String =
            whole.stdout.lines().take(good).map(|line| format!("{line}\n")).collect();
        let ran = predict(&place, "--input rows.csv");
        assert_eq!((ran.status, &ran.stdout), (Some(1), &begun));
        assert!(ran.stderr.contains(&format!("error: rows.csv, {says}")), "{}", ran.stderr);
        let rows = format!("; the {} valid rows before it were predicted\n", good - 1);
        assert!(ran.stderr.contains(&rows), "{}", ran.stderr);
    }
    // Not text.
    let bytes = with_bad("u1,3,smi?th").into_bytes();
    let bytes: Vec<u8> = bytes.iter().map(|&b| if b == b'?' { 0xff } else { b }).collect();
    place.write("rows.csv", bytes);
    predict(&place, "--input rows.csv --bad-rows skip --output out.csv").succeeded();
    let says = "line 4, column 3 (job): \"smi\u{fffd}th\" is not UTF-8; allowed: text in UTF-8";
    let stopped = "; the 2 valid rows before it were predicted, in out.csv.";
    let before = place.read("out.csv");
    predict(&place, "--input rows.csv --output out.csv").failed(1, &[says, stopped]);
    assert_eq!(place.read("out.csv"), before, "what is there stays");
    let [partial] = &place.unfinished()[..] else { panic!("one unfinished file") };
    assert_eq!(place.text(partial).lines().count(), 3);

    let good = |i: usize| format!("{{\"user\":\"u{i}\",\"age\":3,\"job\":\"smith\"}}\n");
    for (bad, says) in [
        (r#"{"user":"u99","age":3,"job":""}"#, ": field \"user\": \"u99\" is unknown"),
        (r#"{"user":"u1","age":[3],"job":""}"#, ": field \"age\" is \"[3]\"; allowed: a text"),
        (r#"{"user":"u1","age":3"#, ", column 20: EOF while parsing an object; allowed: a JSON"),
        (r#"{"user":"u1","Age":3,"job":""}"#, ": no field \"age\" (did you mean \"Age\"?)"),
        (r#"{"user":"u1","user":"u2","job":""}"#, ": a field twice; allowed: a JSON object"),
        ("[1]", ": invalid type: sequence, expected an object"),
        ("{} 8", ": trailing characters"),
    ] {
        place.write("rows.jsonl", [good(0), format!("{bad}\n"), good(2)].concat());
        let ran = predict(&place, "--input rows.jsonl --bad-rows skip").succeeded();
        assert!(ran.stderr.contains("skipped: rows.jsonl, line 2"), "{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
        let lines: Vec<Value> = objects(&ran).iter().map(|row| row["line"].clone()).collect();
        assert_eq!(lines, [1, 3]);
        assert_eq!(predict(&place, "--input rows.jsonl").status, Some(1));
    }
}

#[test]
fn many_bad_rows_are_counted() {
    let place = table();
    let rows: String = (0..100).map(|i| format!("u{},3,smith\n", i % 3 * 50)).collect();
    place.write("rows.csv", format!("user,age,job\n{rows}"));
    let ran = predict(&place, "--input rows.csv --bad-rows skip --batch-rows 7").succeeded();
    assert_eq!(ran.stderr.matches("is unknown").count(), 20);
    assert!(ran.stderr.contains("further skipped rows are only counted"));
    assert!(ran.stderr.contains("34 rows predicted, 66 skipped"), "{}", ran.stderr);
    let lines: Vec<usize> =
        ran.stdout.lines().skip(1).map(|l| l.split(',').next().unwrap().parse().unwrap()).collect();
    assert_eq!(lines, (0..34).map(|i| 2 + 3 * i).collect::<Vec<_>>());
}

/// Dense inputs without a schema: the columns are `x0`, `x1`, …, and a row's key is its place.
#[test]
fn a_run_without_a_schema() {
    for router in ["top-k", "hash"] {
        let place = place();
        let more = ["--router", router, "--dataset", "synthetic", "--epochs", "1"];
        let train = [&["train", "--config", "short.toml", "--out", "run"], &more[..]].concat();
        place.run(&train).succeeded();
        let config = moe_bench::Config::read(&place.path("run/config.resolved.toml")).unwrap();
        let data = moe_data::load("synthetic", &config.dataset.options).unwrap();
        let batch = data.train.batch(&(0..50).collect::<Vec<_>>());
        let x = batch.inputs.dense_rows().expect("numbers");
        let line =
            |row: &[Real]| row.iter().map(|x| format!("{x:?}")).collect::<Vec<_>>().join(",");
        let header = (0..x.cols()).map(|i| format!("x{i}")).collect::<Vec<_>>().join(",");
        let rows: Vec<String> = (0..50).map(|i| line(x.row(i))).collect();
        place.write("rows.csv", format!("{header}\n{}\n", rows.join("\n")));

        let predictor = Predictor::load(&place.path("run"), &Models::standard()).unwrap();
        let (mut out, keys) = (Predictions::default(), (0..50).collect::<Vec<u64>>());
        predictor.predict(&batch.inputs, &keys, &mut out, &mut ModelScratch::default()).unwrap();
        let ran = predict(&place, "--input rows.csv --output-format jsonl --batch-rows 7");
        for (i, object) in objects(&ran.succeeded()).iter().enumerate() {
            assert_eq!(real(&object["y.value"]), out.raw(0)[i]);
        }
        // A bad row does not change the keys of the others.
        let bad = rows[1].replacen(',', ",x", 1);
        place.write("rows.csv", format!("{header}\n{}\n{bad}\n{}\n", rows[0], rows[2]));
        let ran = predict(&place, "--input rows.csv --output-format jsonl --bad-rows skip");
        let ran = ran.succeeded();
        assert!(ran.stderr.contains("line 3, column 2 (x1): \"x"), "{}", ran.stderr);
        assert!(ran.stderr.contains("is not a number; allowed: a finite number\n"));
        assert_eq!(real(&objects(&ran)[1]["y.value"]), out.raw(0)[2]);
    }
}

/// Ids without a schema are the numbers that the model was given.
#[test]
fn ids_without_a_schema() {
    let place = Place::new();
    place.write("data/movielens-1m-mtl/val.csv.gz", gzip(&common::movielens(300)));
    let train = ["train", "--preset", "smoke", "--dataset", "movielens-1m-mtl", "--out", "run"];
    let more = ["--data-dir", "data", "--router", "top-k", "--epochs", "1"];
    place.run(&[&train[..], &more[..]].concat()).succeeded();
    fs::remove_dir_all(place.path("data")).unwrap();
    place.write("rows.jsonl", "{\"user\":3,\"movie\":\"4\"}\n{\"user\":99999999,\"movie\":4}\n");
    let ran = predict(&place, "--input rows.jsonl --bad-rows skip --keep user,movie").succeeded();
    let allowed =
        "line 2: field \"user\": \"99999999\" is not an id; allowed: a whole number from 0";
    assert!(ran.stderr.contains(allowed), "{}", ran.stderr);
    let object = &objects(&ran)[0];
    assert_eq!((&object["user"], &object["movie"]), (&3.into(), &"4".into()));
    assert!(object["watch.probability"].is_number() && object["rating.value"].is_number());
}

/// Classes of sets without names are numbers; unknown names of ratings share an id if the run says so.
#[test]
fn classes_by_number_and_unknown_names() {
    let place = place();
    place.run(&args("run", &["--epochs", "1"])).succeeded();
    let header = (0..144).map(|i| format!("x{i}")).collect::<Vec<_>>().join(",");
    place.write("rows.csv", format!("{header}\n{}\n", ["0.5"; 144].join(",")));
    let ran = predict(&place, "--input rows.csv --output-format jsonl").succeeded();
    let class = objects(&ran)[0]["left.class"].as_str().unwrap().parse::<u32>().unwrap();
    assert!(class < 10);

    let place = Place::new();
    let train = ["train", "--preset", "smoke", "--dataset", "restaurant", "--router", "top-k"];
    let more = ["--out", "run", "--epochs", "1", "--set", "dataset.unknown=\"shared\""];
    place.run(&[&train[..], &more[..]].concat()).succeeded();
    place.write("rows.csv", "user,place\nU1077,135085\nnobody,135085\n");
    assert_eq!(predict(&place, "--input rows.csv").succeeded().stdout.lines().count(), 3);
    place.run(&["eval", "run"]).succeeded();
}

#[test]
fn rows_through_a_pipe() {
    let place = table();
    let args = ["predict", "run", "--input", "-", "--input-format", "csv", "--progress", "none"];
    let from_file = {
        place.write("rows.csv", csv(0..20));
        predict(&place, "--input rows.csv").succeeded().stdout
    };
    let ran = Ran::of(place.command(&args).write_stdin(csv(0..20))).succeeded();
    assert_eq!(ran.stdout, from_file);
    let ran = Ran::of(place.command(&args).write_stdin(gzip(&csv(0..20)))).succeeded();
    assert_eq!(ran.stdout, from_file);
    let ran = Ran::of(place.command(&args).write_stdin("user,age,job\nx,1,smith\n"));
    assert_eq!((ran.status, ran.stdout.lines().count()), (Some(1), 1));
    let says = "error: standard input, line 2, column 1 (user): \"x\" is unknown";
    assert!(ran.stderr.contains(says) && ran.stderr.contains("the 0 valid rows"), "{}", ran.stderr);
}

#[test]
fn a_killed_call_leaves_no_file_and_a_gone_reader_is_no_error() {
    let place = table();
    let args = ["predict", "run", "--input", "-", "--input-format", "csv", "--batch-rows", "1"];
    let mut child = place.start(&[&args[..], &["--output", "out.csv"]].concat());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(csv(0..100).as_bytes()).unwrap();
    let length = || -> u64 {
        let partial = place.unfinished().pop().map(|name| fs::metadata(place.path(&name)));
        partial.map_or(0, |file| file.map_or(0, |file| file.len()))
    };
    while length() < 1000 {
        assert!(child.try_wait().unwrap().is_none(), "it waits for more");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.path("out.csv").exists());

    let mut child = place.start(&args);
    drop(child.stdout.take());
    // It may have ended before it has read all.
    let _ = child.stdin.take().unwrap().write_all(csv(0..2000).as_bytes());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
