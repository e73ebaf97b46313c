//! `moe train`: what a run leaves, and what is resumed.

mod common;

use std::fs;

use common::training::{FILES, args, check_manifest, check_same_end, metrics, place};
use serde_json::Value;

/// The names of the tensors in a safetensors file: a length, then a JSON object of that length.
fn tensors(bytes: &[u8]) -> Vec<String> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    header.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_run_leaves_all_its_files() {
    let place = place();
    let ran = place.run(&args("run", &["--format", "json"])).succeeded();
    assert_eq!(place.list("run"), FILES);
    check_manifest(&place, "run");

    let result = place.json("run/result.json");
    assert_eq!(ran.json(), result, "stdout holds the result");
    assert_eq!((&result["router"], &result["seed"]), (&"top-k".into(), &1.into()));
    assert_eq!((&result["epochs"], &result["steps"]), (&3.into(), &18.into()));

    let metrics = metrics(&place, "run");
    assert_eq!(metrics.len(), 3);
    for (record, epoch) in metrics.iter().zip(1u64..) {
        assert_eq!((&record["epoch"], &record["steps"]), (&epoch.into(), &(6 * epoch).into()));
        for key in ["train_loss", "val_loss", "experts_per_row", "seconds"] {
            assert!(record[key].as_f64().is_some_and(f64::is_finite), "{key}");
        }
        assert_eq!(record["train_terms"][1][0], "right");
    }
    let best = result["best_epoch"].as_u64().unwrap() as usize;
    assert_eq!(metrics[best - 1]["val_loss"], result["val_loss"]);

    let manifest = place.json("run/manifest.json");
    assert_eq!(manifest["best_epoch"], result["best_epoch"]);
    assert_eq!(manifest["models"]["best"]["router"], "top-k");
    let resolved = place.text("run/config.resolved.toml");
    assert!(resolved.contains("routers = [\"top-k\"]\n") && resolved.contains("seeds = 1\n"));

    let best = place.read("run/best.safetensors");
    let names = tensors(&best);
    assert!(names.contains(&"layer.experts.weight".into()), "{names:?}");
    assert_eq!(names, tensors(&place.read("run/last.safetensors")));
}

#[test]
fn what_is_recorded_is_what_is_run() {
    let place = place();
    let ran = place.run(&args("run", &[])).succeeded();
    assert!(!ran.stdout.contains("NaN") && !ran.stdout.contains("softmax"), "{}", ran.stdout);
    assert!(ran.stdout.starts_with("top-k on multi-optdigits, seed 1:\n"), "{}", ran.stdout);
    // The recorded configuration gives the same run, without naming the router.
    let config = ["train", "--config", "run/config.resolved.toml", "--out", "again"];
    place.run(&config).succeeded();
    check_same_end(&place, "run", "again");
    // Without a router named, the first is taken; without a folder named, it is a new one.
    place.run(&["train", "--config", "short.toml", "--epochs", "1"]).succeeded();
    assert_eq!(place.list("runs"), ["train-multi-optdigits-softmax"]);
}

#[test]
fn a_log_tells_of_steps_and_epochs() {
    let place = place();
    let count = |log: &str, what: &str| {
        let out = format!("run-{log}-{what}");
        let ran = place.run(&args(&out, &["--log", log])).succeeded();
        ran.stderr.lines().filter(|line| line.contains(&format!("::trainer: {what} "))).count()
    };
    assert_eq!((count("off", "epoch"), count("info", "epoch"), count("info", "step")), (0, 3, 0));
    assert_eq!((count("debug", "epoch"), count("debug", "step")), (3, 18));

    // The alarms of an epoch are in the report; a line for each is to be asked for.
    let warned = |out: &str, more: &[&str]| {
        let train = ["train", "--preset", "smoke", "--router", "comet", "--progress", "none"];
        let ran = place.run(&[&train[..], &["--out", out], more].concat()).succeeded();
        ran.stderr.lines().filter(|line| line.starts_with("warning: ")).count()
    };
    assert_eq!(warned("quiet", &[]), 0);
    assert!(warned("loud", &["--log", "warn"]) > 0);
}

#[test]
fn only_the_same_run_is_resumed() {
    let place = place();
    place.run(&args("run", &[])).succeeded();
    let before = place.read("run/result.json");
    let resume = |more: &[&str]| place.run(&args("run", &[&["--resume"], more].concat()));

    resume(&["--epochs", "4"]).failed(
        1,
        &["run: was started with another configuration", "`epochs = 3`", "`epochs = 4`"],
    );
    resume(&["--set", "train.learning_rate=1e-3"]).failed(1, &["`learning_rate = 0.01`"]);
    let other =
        ["train", "--config", "short.toml", "--router", "softmax", "--out", "run", "--resume"];
    place.run(&other).failed(1, &["`routers = [\"top-k\"]`, now `routers = [\"softmax\"]`"]);
    place.run(&["train", "--config", "short.toml", "--resume"]).failed(2, &["--out"]);
    place.run(&args("other", &["--resume"])).failed(1, &["other: is not the directory of a run"]);
    assert!(!place.path("other").exists());
    // And without --resume nothing is overwritten.
    place.run(&args("run", &[])).failed(1, &["run: is not empty"]);
    assert_eq!(place.read("run/result.json"), before);
}

#[test]
fn a_run_that_is_not_whole_is_refused() {
    let place = place();
    place.run(&args("run", &["--epochs", "1"])).succeeded();
    let resume = || place.run(&args("run", &["--epochs", "1", "--resume"]));
    resume().succeeded();
    // A damaged log is no loss: a warning of the library is a line of the command.
    let log = place.text("run/metrics.jsonl");
    place.write("run/metrics.jsonl", log.replace("epoch", "epic"));
    let warned = resume().succeeded().stderr;
    assert!(warned.contains("warning: run/metrics.jsonl: should have "), "{warned}");
    assert_eq!(place.text("run/metrics.jsonl"), log);
    let card = place.text("run/model.md");
    place.write("run/model.md", card.replace("95 %", "99 %"));
    resume().failed(1, &["run/model.md: has been changed"]);
    place.write("run/model.md", card);
    let state = place.read("run/state");
    place.write("run/state", &state[..100]);
    resume().failed(1, &["run/state: should have ", "bytes, has 100"]);
    place.write("run/state", &state);
    fs::remove_file(place.path("run/best.safetensors")).unwrap();
    resume().failed(1, &["run/best.safetensors: is missing"]);
    fs::remove_file(place.path("run/manifest.json")).unwrap();
    resume().failed(1, &["run: has no manifest.json, but ", " of a run that has been trained"]);
}
