//! Results are data both ways: what is read of their JSON is written again as the same text.

mod common;

use common::{Place, gzip, movielens};
use moe_bench::{Comparison, RunResult};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[track_caller]
fn check_again<T: Serialize + DeserializeOwned>(text: &str) -> T {
    let value: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let again = if text.contains("\n  ") {
        serde_json::to_string_pretty(&value).unwrap() + "\n"
    } else {
        serde_json::to_string(&value).unwrap()
    };
    assert_eq!(again, text);
    value
}

/// Compares into `out` with these arguments, and checks its files.
fn check_files(place: &Place, more: &[&str]) -> Comparison {
    let _ = std::fs::remove_dir_all(place.path("out"));
    place.smoke(&[more, &["--out", "out"]].concat());
    let text = place.text("out/runs.jsonl");
    let runs: Vec<RunResult> = text.lines().map(check_again).collect();
    let comparison: Comparison = check_again(&place.text("out/results.json"));
    assert_eq!(comparison.runs, runs);
    comparison
}

#[test]
fn files_of_comparisons() {
    let place = Place::new();
    check_files(&place, &[]);
    check_files(&place, &["--dataset", "synthetic", "--routers", "top-k,single"]);
    let one = check_files(&place, &["--dataset", "restaurant", "--seeds", "1"]);
    // The loss of a regression has the interval of its mean square.
    let test = &one.runs[0].test;
    assert_eq!(test.metric("rating", "mse"), test.metric("rating", "loss"));
    assert!(test.metric("rating", "mse").is_some());

    place.write("data/movielens-1m-mtl/val.csv.gz", gzip(&movielens(200)));
    let of_one_class: String = movielens(50)
        .lines()
        .filter(|l| l.contains(",1,"))
        .fold(String::new(), |text, line| text + line + "\n");
    place.write("other.csv", of_one_class);
    let dataset = ["--dataset", "movielens-1m-mtl", "--data-dir", "data", "--routers", "top-k"];
    let other = ["--set", "dataset.test_file=other.csv"];
    let without_auc = check_files(&place, &[&dataset[..], &other].concat());
    assert_eq!(without_auc.runs[0].test.metric("watch", "auc"), None);
}

#[test]
fn numbers_that_are_not_finite() {
    let place = Place::new();
    place.smoke(&["--routers", "top-k", "--dataset", "restaurant", "--seeds", "1", "--out", "out"]);
    let text = place.text("out/runs.jsonl");
    let line = text.trim_end();
    // What the JSON of a test with infinite predictions is: `loss` is null, and so are values and ends of intervals.
    let object: serde_json::Value = serde_json::from_str(line).unwrap();
    let test = &object["test"];
    let loss = test["loss"].to_string();
    let rating = test["tasks"]["rating"]["loss"].to_string();
    let high = test["ci95"]["rating"]["loss"][1].to_string();
    let changed = line
        .replace(&rating, "null")
        .replace(&high, "null")
        .replace(&format!("\"test\":{{\"loss\":{loss}"), "\"test\":{\"loss\":null");
    assert_ne!(changed, line);
    let run: RunResult = check_again(&changed);
    assert!(run.test.loss.is_nan() && run.test.metric("rating", "loss").is_none());
    // Where an end is NaN, the mean square is not equal to the loss, and has an interval of its own.
    let own = changed.replacen(",null]},\"service", ",null],\"mse\":[0.0,null]},\"service", 1);
    assert_ne!(own, changed);
    check_again::<RunResult>(&own);
}

#[test]
fn what_is_not_a_run() {
    let place = Place::new();
    place.smoke(&["--routers", "top-k", "--seeds", "1", "--out", "out"]);
    let text = place.text("out/runs.jsonl");
    let line = text.trim_end();
    for (old, new, says) in [
        ("\"seed\":1,", "", "missing field `seed`"),
        ("\"rows\":200,\"loss\":[", "\"loss\":[", "the intervals of the task left do not fit"),
        ("{\"rows\":200,\"loss\":[", "{\"rows\":200,\"lose\":[", "do not fit its metrics"),
        ("{\"rows\":200,\"loss\":[", "{\"rows\":-1,\"loss\":[", "do not fit its metrics"),
        ("{\"rows\":200,\"loss\":[", "{\"rows\":200,\"loss\":[7,", "do not fit its metrics"),
        ("\"alarms\":[", "\"alarms\":[3,", "invalid type"),
    ] {
        let wrong = line.replacen(old, new, 1);
        assert_ne!(wrong, line, "{old}");
        let error = serde_json::from_str::<RunResult>(&wrong).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
}
