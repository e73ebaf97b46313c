//! What `moe compare` and `moe train` print on a terminal.

mod common;

use common::Place;
use serde_json::Value;

/// The longest line of a text.
fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// The text with its wrapped lines joined.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_comparison_of_all_routers_is_at_most_100_characters_wide() {
    let place = Place::new();
    let text = place.smoke(&[]).stdout;
    assert!(widest(&text) <= 100, "{text}");
    let object = place.smoke_json(&["--set", "run.seeds=2"]);
    let routers = object["config"]["run"]["routers"].as_array().unwrap();
    assert!(routers.len() > 10);
    for router in routers.iter().map(|router| router.as_str().unwrap()) {
        let start = format!(" {router} ");
        assert_eq!(text.lines().filter(|line| line.starts_with(&start)).count(), 1, "{text}");
    }
    let heads = ["router", "test loss", "left", "right", "vs top-k", "experts", "µs", "routes"];
    let first = text.lines().next().unwrap();
    assert!(heads.iter().all(|head| first.contains(head)), "{text}");
    assert!(flat(&text).contains("22 of 22 runs ended at the last epoch"), "{text}");
    // The lowest loss comes first.
    let lines = text.lines().skip(2).take(routers.len());
    let losses = lines.map(|line| line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap());
    assert!(losses.is_sorted(), "{text}");
    // A softmax over all experts does not choose, a router that does says whether it routes.
    let line = |router: &str| text.lines().find(|line| line.starts_with(&format!(" {router} ")));
    assert!(line("softmax").unwrap().trim_end().ends_with(" -"), "{text}");
    assert!(line("hash").unwrap().contains(" yes "), "{text}");
    let wide = place.smoke(&["--wide"]).stdout;
    assert!(widest(&wide) > 150 && wide.contains("load entropy"), "{wide}");
}

#[test]
fn all_rows_to_one_set_of_experts_are_not_routed() {
    let place = Place::new();
    let text = place.smoke(&["--routers", "static,hash", "--set", "run.baseline=hash"]).stdout;
    let line = |router: &str| text.lines().find(|line| line.starts_with(&format!(" {router} ")));
    assert!(line("static").unwrap().contains(" no 100 %"), "{text}");
    assert!(line("hash").unwrap().contains(" yes "), "{text}");
    assert!(
        text.contains("- static routing: static 4 of 4. Such as: 100.0 % of the rows"),
        "{text}"
    );
}

#[test]
fn metrics_that_do_not_fit_are_counted() {
    let place = Place::new();
    let names = ["satisfied_with_the_waiting_time", "would_come_again_some_day", "short"];
    let targets = names.map(|name| format!("{{column='{name}',kind='regression'}}")).join(",");
    let rows: String = (0..300).map(|i| format!("{i},{},{},{}\n", i % 7, i % 5, i % 3)).collect();
    place.write("own.csv", format!("x,{}\n{rows}", names.join(",")));
    let table = format!("dataset.table={{file='own.csv',numbers=['x'],targets=[{targets}]}}");
    let own = ["--dataset", "table", "--routers", "top-k", "--seeds", "1", "--set", &table];
    let text = place.smoke(&own).stdout;
    assert!(widest(&text) <= 100, "{text}");
    assert!(flat(&text).contains("There is no room for the metrics of 2 task(s)."), "{text}");
    assert!(text.lines().next().unwrap().contains(names[0]), "{text}");
}

#[test]
fn the_verdict_is_that_of_the_intervals() {
    let place = Place::new();
    let one = place.smoke(&["--routers", "top-k,hash", "--seeds", "1"]).stdout;
    assert!(flat(&one).contains("cannot be told without several seeds of"), "{one}");
    // The planted experts are found by the one, not by the other.
    let far = ["--dataset", "synthetic", "--routers", "oracle,hash", "--epochs", "15"];
    let more = ["--seeds", "3", "--set", "run.baseline=hash", "--set", "dataset.experts=4"];
    let rows = ["--set", "dataset.train_rows=2000", "--set", "train.batch_rows=50"];
    let far = [&far[..], &more, &rows].concat();
    let text = place.smoke(&far).stdout;
    let object = place.smoke_json(&far);
    let found = |i: usize| object["summary"][i]["vs_baseline"]["verdict"].clone();
    assert_eq!([found(0), found(1)], [Value::from("better"), Value::Null], "{text}");
    let says = "Only oracle has a lower test loss than hash beyond its corrected interval.";
    assert!(flat(&text).contains(says), "{text}");
}

#[test]
fn training_prints_a_summary_of_its_run() {
    let place = Place::new();
    let train = ["train", "--preset", "smoke", "--router", "comet", "--out", "run"];
    let ran = place.run(&train).succeeded();
    let text = ran.stdout;
    assert!(widest(&text) <= 100, "{text}");
    let result = place.json("run/result.json");
    let loss = result["test"]["loss"].as_f64().unwrap();
    for says in [
        "comet on multi-optdigits, seed 1:".to_owned(),
        format!("- test loss {loss:.4}, validation loss"),
        "- weights of epoch 2 of 2,".into(),
        "microseconds a row on the test split".into(),
        "routes, with the share of the most frequent set of experts: ".into(),
        "95 % interval".into(),
        "- moe inspect run".into(),
    ] {
        assert!(text.contains(&says), "{says}: {text}");
    }
}
