//! The preset `quick`, which is about two data sets.

mod common;

use std::thread::sleep;
use std::time::Duration;

use common::running::Running;
use common::{Place, check_refused, timeless};
use serde_json::Value;

const SETS: [&str; 2] = ["multi-optdigits", "domain-optdigits"];

/// Two runs on each data set.
fn quick<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let quick = ["compare", "--routers", "static,top-k", "--seeds", "1", "--epochs", "1"];
    let few = ["--set", "train.batch_rows=1024", "--set", "run.baseline=top-k", "--progress=none"];
    [&quick[..], &few, more].concat()
}

/// The JSON objects of a text.
fn objects(text: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(text).into_iter().map(Result::unwrap).collect()
}

fn check_same_results(place: &Place, a: &str, b: &str) {
    for set in SETS {
        let results = |out: &str| timeless(place.json(&format!("{out}/{set}/results.json")));
        assert_eq!(results(a), results(b));
    }
}

#[test]
fn each_data_set_has_a_table_and_a_directory() {
    let place = Place::new();
    let text = place.run(&quick(&["--out", "both"])).succeeded().stdout;
    assert_eq!(text.matches("vs top-k").count(), 2, "{text}");
    assert_eq!(place.list("both"), ["domain-optdigits", "multi-optdigits"]);
    let json = place.run(&quick(&["--format", "json", "--jobs", "2"])).succeeded().stdout;
    let objects = objects(&json);
    for (object, set) in objects.iter().zip(SETS) {
        assert!(text.contains(&format!("\n{set}: ")), "{text}");
        assert_eq!(
            (&object["schema"], &object["dataset"]["name"]),
            (&"moe.compare/1".into(), &set.into())
        );
        let file = place.json(&format!("both/{set}/results.json"));
        assert_eq!(timeless(file)["runs"], timeless(object.clone())["runs"]);
        for name in ["report.html", "report.md", "runs.jsonl", "config.resolved.toml"] {
            assert!(place.path(&format!("both/{set}/{name}")).is_file(), "{name}");
        }
    }
    assert_eq!(objects.len(), 2);
    let folder = "runs/compare-multi-optdigits-and-domain-optdigits";
    assert_eq!(place.list(folder), ["domain-optdigits", "multi-optdigits"]);

    // One of them alone.
    let one = quick(&["--dataset", "domain-optdigits", "--out", "one"]);
    assert_eq!(place.run(&one).succeeded().stdout.matches("vs top-k").count(), 1);
    let results = |path: &str| timeless(place.json(path))["runs"].clone();
    assert_eq!(results("one/results.json"), results("both/domain-optdigits/results.json"));
    // Another data set takes its place, however it is named.
    let by_flag = place.run(&quick(&["--dataset", "restaurant", "--format", "json"]));
    let by_key = quick(&["--set", "dataset.name=restaurant", "--format", "json"]);
    let by_key = place.run(&by_key).succeeded();
    let [by_flag, by_key] = [by_flag.succeeded(), by_key].map(|ran| timeless(ran.json()));
    assert_eq!(by_flag["runs"], by_key["runs"]);
}

#[test]
fn comparisons_on_several_data_sets_go_on() {
    let place = Place::new();
    place.run(&quick(&["--out", "whole"])).succeeded();
    // From the beginning, in the middle of the second one, and at the end.
    for _ in 0..2 {
        place.run(&quick(&["--out", "out", "--resume"])).succeeded();
        check_same_results(&place, "whole", "out");
        let runs = place.text("out/domain-optdigits/runs.jsonl");
        let first = runs.lines().next().unwrap();
        place.write("out/domain-optdigits/runs.jsonl", format!("{first}\n"));
        std::fs::remove_file(place.path("out/domain-optdigits/results.json")).unwrap();
    }
    let one = quick(&["--dataset", "domain-optdigits", "--out", "one"]);
    place.run(&one).succeeded();
    let not = "the directory of comparisons on multi-optdigits and domain-optdigits holds a directory for each of them only";
    check_refused(
        &place,
        &quick(&[]),
        &[
            ("--out whole", 1, &["whole: is not empty; pass a new directory"]),
            ("--out one --resume", 1, &["one: holds ", not]),
            (
                "--dataset domain-optdigits --out whole --resume",
                1,
                &["-optdigits, which is not a file of a comparison"],
            ),
        ],
    );
    check_same_results(&place, "whole", "whole");
}

#[cfg(unix)]
#[test]
fn a_signal_in_the_second_comparison_names_the_directory_of_both() {
    let place = Place::new();
    let long = ["compare", "--routers", "static,top-k", "--epochs", "3", "--progress", "none"];
    let long =
        [&long[..], &["--set", "train.batch_rows=1024", "--out", "out", "--resume"]].concat();
    let mut running = Running::start(&place, "out", &long);
    // One of the six runs of the second comparison has ended.
    let runs = place.path("out/domain-optdigits/runs.jsonl");
    while !runs.exists() {
        assert!(!running.is_over(), "it was not interrupted");
        sleep(Duration::from_millis(1));
    }
    running.send("TERM");
    let (status, stderr) = running.wait();
    assert_eq!(status.code(), Some(143), "{stderr}");
    let says =
        " of 12 runs are saved in out; the same command with --out out --resume trains the others";
    assert!(stderr.contains("SIGTERM: ") && stderr.contains(says), "{stderr}");
}
