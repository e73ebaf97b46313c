//! `moe eval`: the numbers of the run itself, other splits, other K, and what is refused.

mod common;

use std::fs;

use common::training::{args, place};
use common::{Place, check_refused, timeless};
use serde_json::Value;

fn run(place: &Place, more: &[&str]) {
    place.run(&args("run", more)).succeeded();
}

fn eval(place: &Place, more: &[&str]) -> Value {
    let args = [&["eval", "run", "--format", "json"], more].concat();
    place.run(&args).succeeded().json()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn it_finds_what_the_run_found() {
    let place = place();
    run(&place, &[]);
    let (found, result) = (eval(&place, &[]), place.json("run/result.json"));
    for key in ["loss", "tasks", "ci95"] {
        assert_eq!(found[key], result["test"][key], "{key}");
    }
    assert_eq!(found["routing"], result["routing"]);
    assert_eq!(found["epoch"], result["best_epoch"]);
    assert_eq!(eval(&place, &["--threads", "1"]), eval(&place, &["--threads", "3"]));
    assert_eq!(eval(&place, &["--split", "test"]), found);
    assert_eq!(eval(&place, &["--part", "test"]), found, "the hidden alias");

    let mut known =
        ["schema", "run", "router", "seed", "epoch", "dataset", "part", "rows"].to_vec();
    known.extend(["loss", "tasks", "ci95", "routing"]);
    let mut found_keys = keys(&found);
    found_keys.sort_unstable();
    known.sort_unstable();
    assert_eq!(found_keys, known);
    assert_eq!((&found["schema"], &found["part"]), (&"moe.eval/1".into(), &"test".into()));

    // The best epoch was chosen by the validation split.
    let validation = eval(&place, &["--split", "validation"]);
    assert_eq!(validation["loss"], result["val_loss"]);
    let train = eval(&place, &["--split", "train"]);
    assert_eq!(train["rows"], 300);
    assert_ne!(train["loss"], validation["loss"]);
}

#[test]
fn every_kind_of_model_can_be_tested() {
    for router in ["comet+", "moesart", "shared-bottom"] {
        let place = place();
        let run = ["train", "--config", "short.toml", "--router", router, "--out", "run"];
        place.run(&run).succeeded();
        let (found, result) = (eval(&place, &[]), place.json("run/result.json"));
        assert_eq!(found["loss"], result["test"]["loss"], "{router}");
        assert_eq!(found["routing"], result["routing"], "{router}");
        place.run(&["eval", "run"]).succeeded();
    }
}

#[test]
fn it_is_also_for_people() {
    let place = place();
    run(&place, &[]);
    let result = place.json("run/result.json");
    let accuracy = result["test"]["tasks"]["left"]["accuracy"].as_f64().unwrap();
    for format in ["text", "table", "md"] {
        let ran = place.run(&["eval", "run", "--format", format, "--sweep", "k=1,2"]).succeeded();
        for part in
            ["top-k on multi-optdigits, seed 1", "100 rows of the test split", "95 % interval"]
        {
            assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
        }
        assert!(ran.stdout.contains(&format!("{accuracy:.4}")), "{}", ran.stdout);
        assert!(ran.stdout.contains("2 (as trained)"), "{}", ran.stdout);
        assert_eq!(ran.stdout.contains("|---"), format == "md", "{}", ran.stdout);
    }
}

#[test]
fn a_sweep_shows_quality_against_cost() {
    let place = place();
    run(&place, &["--dataset", "optdigits"]);
    let found = eval(&place, &["--sweep", "k=1,2,4"]);
    assert_eq!(found["sweep"]["parameter"], "k");
    let lines = found["sweep"]["values"].as_array().unwrap();
    let of = |key: &str| -> Vec<f64> { lines.iter().map(|l| l[key].as_f64().unwrap()).collect() };
    assert_eq!(of("value"), [1.0, 2.0, 4.0]);
    assert_eq!(of("experts_per_row"), [1.0, 2.0, 4.0]);
    assert_eq!(lines[1]["own"], true);
    // An expert of 64 inputs and 8 outputs costs 512.
    let work = of("multiply_adds_per_row");
    assert_eq!((work[1] - work[0], work[2] - work[1]), (512.0, 1024.0));
    assert!(of("seconds_per_thousand_rows").iter().all(|&seconds| seconds > 0.0));
    for key in ["loss", "tasks", "ci95"] {
        assert_eq!(lines[1][key], found[key], "{key}: the run's own K");
        assert_ne!(lines[0][key], found[key], "{key}: another K");
    }
    let mut found_keys = keys(&lines[0]);
    found_keys.sort_unstable();
    let known = [
        "ci95",
        "dead_experts",
        "dropped",
        "experts_per_row",
        "load_entropy",
        "loss",
        "multiply_adds_per_row",
        "own",
        "seconds_per_thousand_rows",
        "tasks",
        "value",
    ];
    assert_eq!(found_keys, known);
}

#[test]
fn more_metrics_are_asked_for_by_name() {
    let place = place();
    run(&place, &["--epochs", "1"]);
    let plain = eval(&place, &[]);
    let found = eval(&place, &["--metrics", "mcc,macro-f1,cross-entropy", "--sweep", "k=2"]);
    for task in ["left", "right"] {
        let metrics = &found["tasks"][task];
        let names = ["accuracy", "cross-entropy", "loss", "macro-f1", "mcc"];
        assert_eq!(keys(metrics), names, "{task}");
        assert_eq!(metrics["cross-entropy"], metrics["loss"]);
        assert!(metrics["mcc"].as_f64().unwrap() < metrics["accuracy"].as_f64().unwrap());
        assert_eq!(keys(&plain["tasks"][task]), ["accuracy", "loss"]);
        for name in ["accuracy", "loss"] {
            assert_eq!(metrics[name], plain["tasks"][task][name]);
        }
    }
    assert_eq!(found["ci95"], plain["ci95"], "these have no interval, or that of the loss");
    assert_eq!(found["sweep"]["values"][0]["tasks"], found["tasks"]);
    let text = place.run(&["eval", "run", "--metrics", "mcc"]).succeeded().stdout;
    let line = text.lines().find(|line| line.contains(" mcc ")).unwrap();
    assert!(line.contains("left") && line.trim_end().ends_with('-'), "{line}");

    let known =
        "task left (multiclass) has loss, accuracy, macro-f1, mcc, rand-index, cross-entropy";
    check_refused(
        &place,
        &["eval", "run", "--metrics"],
        &[
            ("f2", 2, &["--metrics: there is no metric \"f2\"", known]),
            ("mcc,acuracy", 2, &["\"acuracy\", did you mean \"accuracy\"?", "task right"]),
            ("rmse", 2, &["there is no metric \"rmse\""]),
        ],
    );
}

#[test]
fn a_capacity_drops_rows() {
    let place = place();
    run(&place, &[]);
    let found = eval(&place, &["--sweep", "capacity=0,0.5,1.25"]);
    let lines = found["sweep"]["values"].as_array().unwrap();
    let dropped: Vec<f64> = lines.iter().map(|l| l["dropped"].as_f64().unwrap()).collect();
    assert!(dropped[0] == 0.0 && dropped[1] >= 0.5 && dropped[1] > dropped[2], "{dropped:?}");
    assert_eq!((&lines[0]["own"], &lines[0]["loss"]), (&true.into(), &found["loss"]));
    assert_eq!(lines[1]["own"], false);
}

#[test]
fn sweeps_that_are_not_allowed() {
    let place = place();
    run(&place, &["--epochs", "1"]);
    check_refused(
        &place,
        &["eval", "run", "--sweep"],
        &[
            ("k", 2, &["write k=1,2,4 or capacity=1.0,1.25"]),
            ("n=1", 2, &["\"n\" cannot be swept", "k and capacity"]),
            ("k=0", 2, &["\"0\" is not allowed", "a whole number from 1"]),
            ("k=1,", 2, &["\"\" is not allowed"]),
            ("k=1.5", 2, &["\"1.5\" is not allowed"]),
            ("capacity=-1", 2, &["\"-1\" is not allowed", "from 0"]),
            ("k=1,5", 2, &["--sweep k=5: router top-k: k = 5", "from 1 to 4"]),
            ("capacity=1e9", 2, &["inference-capacity-factor", "from 0 to 1000000"]),
        ],
    );
    for (router, sweep, says) in [
        ("softmax", "k=1", "router softmax does not use K"),
        ("switch", "k=1", "router switch does not use K"),
        ("hash", "k=1", "router hash does not use K"),
        ("comet", "k=1", "K is part of the weights of router comet (K = 2) and cannot be changed"),
        ("dselect-k", "k=1", "K is part of the weights of router dselect-k (K = 2)"),
        ("expert-choice", "k=1", "learnt are for K = 2, so K cannot be changed"),
        ("comet", "capacity=1", "router comet has no parameter inference-capacity-factor"),
        ("single", "k=1", "the model has no router"),
    ] {
        let out = format!("{router}-run");
        if !place.path(&out).exists() {
            let run = ["train", "--config", "short.toml", "--epochs", "1", "--router", router];
            place.run(&[&run[..], &["--out", &out]].concat()).succeeded();
        }
        place.run(&["eval", &out, "--sweep", sweep]).failed(2, &["--sweep ", says]);
    }
    // With its own K any of them can be named.
    place.run(&["eval", "comet-run", "--sweep", "k=2"]).succeeded();
}

#[test]
fn runs_that_are_not_there_or_not_whole() {
    let place = place();
    run(&place, &["--epochs", "1"]);
    check_refused(
        &place,
        &["eval"],
        &[
            ("", 2, &["<RUN>"]),
            ("nothing", 1, &["nothing: is not the directory of a run: it has no manifest.json"]),
            ("run --split tset", 2, &["'tset'", "test, validation, train"]),
            ("run --threads 0", 2, &["--threads 0 is not allowed"]),
        ],
    );
    for name in ["best.safetensors", "config.resolved.toml", "state"] {
        let file = format!("run/{name}");
        let content = place.read(&file);
        let mut changed = content.clone();
        changed[content.len() / 2] ^= 1;
        place.write(&file, changed);
        for command in ["eval", "inspect"] {
            let says = format!("{file}: has been changed");
            place.run(&[command, "run"]).failed(1, &[&says]);
        }
        fs::remove_file(place.path(&file)).unwrap();
        place.run(&["eval", "run"]).failed(1, &[&format!("{file}: is missing")]);
        place.write(&file, content);
    }
    // What only training needs.
    for name in ["last.safetensors", "metrics.jsonl", "model.md", "moments.safetensors"] {
        fs::remove_file(place.path(&format!("run/{name}"))).unwrap();
    }
    eval(&place, &[]);
}

#[test]
fn nothing_is_written() {
    let place = place();
    run(&place, &["--epochs", "1"]);
    // As a run leaves them that is in training: a line of the next epoch, weights of the next checkpoint.
    let metrics = place.text("run/metrics.jsonl") + "{}\n";
    place.write("run/metrics.jsonl", &metrics);
    place.write("run/last-9.safetensors", "");
    let before = place.list("run");
    eval(&place, &[]);
    place.run(&["inspect", "run"]).succeeded();
    assert_eq!(place.list("run"), before);
    assert_eq!(place.text("run/metrics.jsonl"), metrics);
}

/// The manifests of format 1 know vectors of numbers only.
#[test]
fn pictures_without_a_shape_in_the_manifest_are_read() {
    let place = place();
    run(&place, &["--dataset", "optdigits"]);
    let found = timeless(eval(&place, &[]));
    let mut manifest = place.json("run/manifest.json");
    // A manifest that does not record its own checksum is not checked against it.
    manifest["sha256"] = "".into();
    for which in ["last", "best"] {
        let input = &mut manifest["models"][which]["input"];
        assert_eq!(*input, serde_json::json!({"dense": [1, 8, 8]}));
        *input = serde_json::json!({"kind": "dense", "width": 64});
    }
    place.write("run/manifest.json", manifest.to_string());
    assert_eq!(timeless(eval(&place, &[])), found);
    place.run(&["inspect", "run"]).succeeded();
    for width in [63, 65] {
        for which in ["last", "best"] {
            manifest["models"][which]["input"]["width"] = width.into();
        }
        place.write("run/manifest.json", manifest.to_string());
        place.run(&["inspect", "run"]).failed(1, &["trained on other data", "its inputs are"]);
    }
}

/// Ratings of 31 users and 53 items.
fn on_files(place: &Place) {
    place.write("mine.csv", format!("user,movie,watch,rating\n{}", common::movielens(400)));
    let file = format!("dataset.ratings_file='{}'", place.path("mine.csv").display());
    let mut run = vec!["train", "--preset", "smoke", "--dataset", "movielens-csv", "--out", "run"];
    run.extend(["--router", "top-k", "--epochs", "1", "--set", "dataset.user_column=user"]);
    run.extend(["--set", "dataset.item_column=movie", "--set", "dataset.cache=false"]);
    run.extend(["--set", &file]);
    place.run(&run).succeeded();
}

#[test]
fn data_must_be_those_of_the_run() {
    let place = Place::new();
    on_files(&place);
    let result = place.json("run/result.json");
    assert_eq!(timeless(eval(&place, &[]))["loss"], result["test"]["loss"]);

    let whole = place.text("mine.csv");
    // The same ids under other names.
    place.write("mine.csv", whole.replace("\n3,", "\nthree,"));
    place
        .run(&["eval", "run"])
        .failed(1, &["run: was trained on other data", "three", "--data-dir"]);
    // A user more.
    place.write("mine.csv", format!("{whole}99,1,1,3\n"));
    place.run(&["inspect", "run"]).failed(1, &["run: was trained on other data", "its inputs are"]);
    fs::remove_file(place.path("mine.csv")).unwrap();
    place.run(&["eval", "run"]).failed(1, &["mine.csv"]);
}
