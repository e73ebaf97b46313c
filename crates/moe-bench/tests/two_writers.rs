//! Two processes with one place for their results: one whole result, no lost run, and exit statuses that say who won. The
//! number of trials of each pair is `MOE_TRIALS`, or a few.

mod common;

use std::fs;
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

use common::people::{csv, predict, table};
use common::training::{FILES, args, check_same_end, place};
use common::{Place, Ran, TINY};
use moe_core::rand::Rng;
use moe_core::random::chacha;

/// Enough epochs to meet in the middle of them.
const LONG: [&str; 4] = ["--epochs", "12", "--set", "train.patience=12"];

fn trials() -> u64 {
    std::env::var("MOE_TRIALS").map_or(6, |count| count.parse().expect("MOE_TRIALS is a number"))
}

/// Starts both calls, the second one up to `apart` later, and returns their ends and process ids.
fn both(place: &Place, trial: u64, apart: Duration, calls: [&[&str]; 2]) -> [(Ran, u32); 2] {
    let mut rng = chacha(trial, "tests.two-writers", 0);
    let first = place.start(calls[0]);
    sleep(apart.mul_f64(rng.random_range(0.0..1.0)));
    let second = place.start(calls[1]);
    let id = Child::id;
    let ids = [id(&first), id(&second)];
    let ends = [first, second].map(|child| {
        let ran = Ran::end_of(child);
        assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
        ran
    });
    let [first, second] = ends;
    [(first, ids[0]), (second, ids[1])]
}

#[test]
fn predict_and_predict() {
    let place = table();
    place.write("a.csv", csv(0..400));
    place.write("b.csv", csv(100..700));
    let whole = ["a", "b"].map(|name| {
        let args = format!("--input {name}.csv");
        predict(&place, &args).succeeded().stdout
    });
    assert_ne!(whole[0], whole[1]);
    for trial in 0..trials() {
        let calls = ["a.csv", "b.csv"]
            .map(|input| ["predict", "run", "--input", input, "--output", "out.csv"]);
        let ends = both(&place, trial, Duration::from_millis(5), [&calls[0], &calls[1]]);
        // Each replaces the file as a whole; the later one stays.
        ends.into_iter().for_each(|(ran, _)| drop(ran.succeeded()));
        assert!(whole.contains(&place.text("out.csv")), "a mixture");
        assert!(place.unfinished().is_empty());
    }
}

#[test]
fn compare_and_compare() {
    for trial in 0..trials() {
        let place = Place::new();
        if trial % 2 == 1 {
            fs::create_dir(place.path("out")).unwrap();
        }
        let calls = ["1", "2"].map(|seed| {
            let seed = format!("run.first_seed={seed}");
            let more = ["--routers", "top-k", "--out", "out", "--set", &seed].map(str::to_owned);
            TINY.map(str::to_owned).into_iter().chain(more).collect::<Vec<_>>()
        });
        let calls =
            calls.each_ref().map(|call| call.iter().map(String::as_str).collect::<Vec<_>>());
        let ends = both(&place, trial, Duration::from_millis(2), [&calls[0], &calls[1]]);
        let (won, lost) = match ends {
            [(one, _), (other, _)] if one.status == Some(0) => (one, other),
            [(other, _), (one, _)] => (one, other),
        };
        let results = won.succeeded().json();
        lost.failed(1, &["out: ", "pass a new directory with --out"]);
        assert_eq!(place.json("out/results.json"), results);
        let seed = results["config"]["run"]["first_seed"].clone();
        let run: serde_json::Value = serde_json::from_str(&place.text("out/runs.jsonl")).unwrap();
        assert_eq!(run["seed"], seed);
        let config = place.text("out/config.resolved.toml");
        assert!(config.contains(&format!("first_seed = {seed}\n")), "{config}");
        assert_eq!(place.list("out").len(), 5, "{:?}", place.list("out"));
    }
}

/// Exactly one of two trains, or one after the other; the run is that of one alone.
fn check_run(place: &Place, out: &str, ends: [(Ran, u32); 2]) {
    let ids = ends.each_ref().map(|(_, id)| *id);
    assert!(ends.iter().any(|(ran, _)| ran.status == Some(0)), "{ends:#?}");
    for (i, (ran, _)) in ends.into_iter().enumerate() {
        if ran.status != Some(0) {
            let holder = format!("{out}: another process ({}) is training", ids[1 - i]);
            let ran = ran.failed(1, &[out]);
            // A call without --resume may find the files of the other one instead.
            let says = ran.stderr.contains(&holder) || ran.stderr.contains("is not empty");
            assert!(says, "{holder}: {ran:#?}");
        }
    }
    let more = [&LONG[..], &["--resume"]].concat();
    place.run(&["eval", out]).succeeded();
    place.run(&args(out, &more)).succeeded();
    check_same_end(place, "whole", out);
    assert_eq!(place.list(out), FILES);
}

/// A process that has saved the first checkpoint of the run in `out`, and goes on.
fn begun(place: &Place, out: &str, args: &[&str]) -> Child {
    let mut process = place.start(args);
    while !place.path(out).join("manifest.json").exists() {
        assert!(process.try_wait().unwrap().is_none());
        sleep(Duration::from_micros(100));
    }
    process
}

/// The time that a whole run takes.
fn whole(place: &Place) -> Duration {
    let started = std::time::Instant::now();
    place.run(&args("whole", &LONG)).succeeded();
    started.elapsed()
}

#[test]
fn train_and_resume() {
    let place = place();
    let time = whole(&place);
    let resume = [&LONG[..], &["--resume"]].concat();
    for trial in 0..trials() {
        let out = format!("run-{trial}");
        fs::create_dir(place.path(&out)).unwrap();
        let (first, second) = (args(&out, &LONG), args(&out, &resume));
        let apart = if trial % 2 == 0 { time } else { Duration::from_millis(3) };
        check_run(&place, &out, both(&place, trial, apart, [&first, &second]));
    }
}

/// A job with another configuration is refused, and harms neither the run nor the one that trains it.
#[test]
fn train_and_resume_with_another_configuration() {
    let place = place();
    whole(&place);
    for trial in 0..trials() {
        let out = format!("run-{trial}");
        fs::create_dir(place.path(&out)).unwrap();
        let first = begun(&place, &out, &args(&out, &LONG));
        let other = ["--epochs", "13", "--set", "train.patience=12", "--resume"];
        let refused = place.run(&args(&out, &other)).failed(1, &[&out]);
        let says = ["is training in this directory", "was started with another configuration"];
        assert!(says.iter().any(|says| refused.stderr.contains(says)), "{refused:#?}");
        Ran::end_of(first).succeeded();
        check_same_end(&place, "whole", &out);
    }
}

#[test]
fn resume_and_resume() {
    let place = place();
    let time = whole(&place);
    let resume = [&LONG[..], &["--resume"]].concat();
    for trial in 0..trials() {
        let out = format!("run-{trial}");
        fs::create_dir(place.path(&out)).unwrap();
        let call = args(&out, &resume);
        let mut killed = begun(&place, &out, &call);
        killed.kill().unwrap();
        killed.wait().unwrap();
        let apart = if trial % 2 == 0 { time } else { Duration::from_millis(3) };
        check_run(&place, &out, both(&place, trial, apart, [&call, &call]));
    }
}
