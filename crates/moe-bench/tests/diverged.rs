//! Runs that diverge in a comparison: a row that says so, and statistics over the others.

mod common;

use common::{Place, timeless};
use moe_core::Real;
use serde_json::Value;

/// Gradient steps of a loss so steep that the gate's logits grow from step to step until they overflow; other gates learn.
const STEEP: [&str; 10] = [
    "--set",
    "train.optimizer=sgd",
    "--set",
    "train.learning_rate=0.1",
    "--set",
    "train.epochs=60",
    "--set",
    "train.patience=60",
    "--set",
    "routers.top-k.router-z=1000000",
];

fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["compare", "--preset", "smoke"], more].concat()
}

#[test]
fn one_router_diverges() {
    let place = Place::new();
    let more = ["--routers", "softmax,top-k", "--out", "out", "--progress=plain"];
    let call = args(&[&STEEP[..], &more].concat());
    let ran = place.run(&call).succeeded();
    assert!(ran.stderr.contains("[3/4] top-k seed 1: diverged: step "), "{}", ran.stderr);
    let row = ran.stdout.lines().find(|line| line.starts_with(" top-k ")).unwrap();
    assert!(row.contains(" diverged ") && !row.contains("NaN"), "{row}");
    assert!(ran.stdout.contains("- top-k 2 of 2 (seed 1: step "), "{}", ran.stdout);
    assert!(place.text("out/report.md").contains("diverged"));

    let results = place.json("out/results.json");
    assert_eq!(results["runs"].as_array().unwrap().len(), 2);
    let diverged = results["diverged"].as_array().unwrap();
    assert_eq!(diverged.len(), 2);
    assert_eq!((&diverged[1]["router"], &diverged[1]["seed"]), (&"top-k".into(), &2.into()));
    assert!(diverged[1]["error"].as_str().unwrap().starts_with("step "));
    let line = &results["summary"][1];
    assert_eq!((&line["runs"], &line["diverged"]), (&0.into(), &2.into()));
    assert!(line["test_loss"]["mean"].is_null() && line["vs_baseline"].is_null());
    // The baseline has no losses to compare with.
    let line = &results["summary"][0];
    assert_eq!((&line["runs"], line.get("diverged")), (&2.into(), None));
    assert!(line["vs_baseline"].is_null());

    // A run that diverged is not trained again.
    let resumed = place.run(&[&call[..], &["--resume"]].concat()).succeeded();
    assert!(!resumed.stderr.contains("seed"), "{}", resumed.stderr);
    assert_eq!(timeless(place.json("out/results.json")), timeless(results));
}

/// Half of the runs of one router: it is compared over the other seeds.
#[test]
fn one_seed_diverges() {
    let place = Place::new();
    let base = ["--routers", "softmax,top-k", "--seeds", "3", "--format", "json"];
    place.run(&args(&[&base[..], &["--out", "out"]].concat())).succeeded();
    let text = place.text("out/runs.jsonl");
    let line = "{\"router\":\"softmax\",\"seed\":2,\"error\":\"step 7 (epoch 1): too large\"}";
    let lines: Vec<&str> =
        text.lines().enumerate().map(|(i, found)| if i == 1 { line } else { found }).collect();
    place.write("out/runs.jsonl", lines.join("\n") + "\n");
    let resume = [&base[..], &["--out", "out", "--resume"]].concat();
    let results = place.run(&args(&resume)).succeeded().json();
    let line = &results["summary"][0];
    assert_eq!((&line["runs"], &line["diverged"]), (&2.into(), &1.into()));
    let loss = |run: usize| results["runs"][run]["test"]["loss"].as_f64().unwrap();
    // Seeds 1 and 3 of both.
    let relative = (loss(0) + loss(1)) / (loss(2) + loss(4)) - 1.0;
    let against = &line["vs_baseline"];
    assert_eq!(against["pairs"], 2);
    assert!((against["relative"].as_f64().unwrap() - relative).abs() < 1e-9, "{against}");
    let table = [&base[..4], &["--out", "out", "--resume"]].concat();
    let table = place.run(&args(&table)).succeeded().stdout;
    assert!(table.contains(" (1 of 3 runs diverged) "), "{table}");
    assert!(table.contains("- softmax 1 of 3 (seed 2: step 7 (epoch 1): too large)"), "{table}");
}

#[test]
fn all_runs_diverge() {
    let place = Place::new();
    let more = ["--routers", "top-k", "--out", "out"];
    let says = ["all 2 runs diverged; the first one: router top-k, seed 1: step "];
    place.run(&args(&[&STEEP[..], &more].concat())).failed(1, &says);
    let results: Value = place.json("out/results.json");
    assert_eq!(results["diverged"].as_array().unwrap().len(), 2);
    assert!(place.text("out/report.md").contains("diverged"));
}

#[test]
fn other_errors_stop_a_comparison() {
    if size_of::<Real>() == 8 {
        // Double precision computes with any number that a table may hold.
        return;
    }
    let place = Place::new();
    place.write(
        "huge.toml",
        "[dataset]\nname = \"table\"\n[dataset.table]\nfile = \"rows.csv\"\nnumbers = [\"a\"]\n\
         scaling = \"none\"\ntargets = [{ column = \"y\", kind = \"binary\" }]\n[model]\nexperts = 4\n",
    );
    let line = |row: usize| format!("3e38,{}\n", row % 2);
    place.write("rows.csv", "a,y\n".to_string() + &(0..40).map(line).collect::<String>());
    let ran = place.run(&["compare", "--config", "huge.toml", "--jobs", "2", "--out", "out"]);
    ran.failed(1, &["router ", "seed ", "is too large to compute with; scale the data"]);
    assert!(!place.path("out/results.json").exists());
    assert_eq!(place.list("out"), ["config.resolved.toml"]);
}
