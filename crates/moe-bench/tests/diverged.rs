//! Runs that diverge in a comparison: a row that says so, and statistics over the others.

mod common;

use common::{Place, SMOKE, timeless};
use serde_json::Value;

/// A comparison of top-k and softmax from two seeds; the weight of an auxiliary loss lets every run of one of them diverge.
const ONE_DIVERGES: [&str; 7] = [
    "--routers",
    "softmax,top-k",
    "--set",
    "routers.top-k.load-balance=1e200",
    "--out",
    "out",
    "--progress=plain",
];

fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["compare", "--preset", "smoke"], more].concat()
}

#[test]
fn one_router_diverges() {
    let place = Place::new();
    let ran = place.run(&args(&ONE_DIVERGES)).succeeded();
    assert!(
        ran.stderr.contains("[3/4] top-k seed 1: diverged: step 1 (epoch 1): "),
        "{}",
        ran.stderr
    );
    let row = ran.stdout.lines().find(|line| line.starts_with(" top-k ")).unwrap();
    assert!(row.contains(" diverged ") && !row.contains("NaN"), "{row}");
    assert!(ran.stdout.contains("- top-k 2 of 2 (seed 1: step 1 (epoch 1): "), "{}", ran.stdout);
    assert!(place.text("out/report.md").contains("diverged"));

    let results = place.json("out/results.json");
    assert_eq!(results["runs"].as_array().unwrap().len(), 2);
    let diverged = results["diverged"].as_array().unwrap();
    assert_eq!(diverged.len(), 2);
    assert_eq!((&diverged[1]["router"], &diverged[1]["seed"]), (&"top-k".into(), &2.into()));
    assert!(diverged[1]["error"].as_str().unwrap().starts_with("step 1 (epoch 1): "));
    let line = &results["summary"][1];
    assert_eq!((&line["runs"], &line["diverged"]), (&0.into(), &2.into()));
    assert!(line["test_loss"]["mean"].is_null() && line["vs_baseline"].is_null());
    // The baseline has no losses to compare with.
    let line = &results["summary"][0];
    assert_eq!((&line["runs"], line.get("diverged")), (&2.into(), None));
    assert!(line["vs_baseline"].is_null());

    // A run that diverged is not trained again.
    let resumed = place.run(&args(&[&ONE_DIVERGES[..], &["--resume"]].concat())).succeeded();
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
    let more = ["--routers", "top-k", "--set", "routers.top-k.load-balance=1e200", "--out", "out"];
    let says = ["all 2 runs diverged; the first one: router top-k, seed 1: step 1 (epoch 1): "];
    place.run(&[&SMOKE[..], &more].concat()).failed(1, &says);
    let results: Value = place.json("out/results.json");
    assert_eq!(results["diverged"].as_array().unwrap().len(), 2);
    assert!(place.text("out/report.md").contains("diverged"));
}

#[test]
fn other_errors_stop_a_comparison() {
    let place = Place::new();
    place.write("rows.csv", "a,y\n1,0\n2,1\n1e30,0\n4,1\n5,0\n6,1\n7,0\n8,1\n9,0\n10,1\n");
    place.write(
        "table.toml",
        "[dataset]\nname = \"table\"\n[dataset.table]\nfile = \"rows.csv\"\nscale = false\nnumbers = [\"a\"]\n\
         targets = [{ column = \"y\", kind = \"binary\" }]\n[model]\nexperts = 4\n",
    );
    let ran = place.run(&["compare", "--config", "table.toml", "--jobs", "2", "--out", "out"]);
    ran.failed(1, &["router ", "seed "]);
    assert!(!place.path("out/results.json").exists());
}
