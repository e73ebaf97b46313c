//! `moe compare --resume`: comparisons that are ended at any moment go on to the same results. The number of kills is
//! `MOE_TRIALS`, or a few.
#![cfg(unix)]
#![allow(clippy::print_stdout, reason = "the test says how many kills met a comparison")]

mod common;

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::running::Running;
use common::{Place, SMOKE, timeless, trials};
use moe_core::rand::Rng;
use moe_core::random::chacha;

const FILES: [&str; 5] =
    ["config.resolved.toml", "report.html", "report.md", "results.json", "runs.jsonl"];

/// A comparison of eight runs.
fn args<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let routers = ["--routers", "top-k,softmax,comet,hash", "--seeds", "2", "--out", out];
    [&SMOKE[..], &routers, more].concat()
}

/// Both comparisons have the same results.
fn check_same(place: &Place, a: &str, b: &str) {
    let results = |out: &str| timeless(place.json(&format!("{out}/results.json")));
    assert_eq!(results(a), results(b));
    assert_eq!(runs(place, a), runs(place, b));
    let config = |out: &str| place.text(&format!("{out}/config.resolved.toml"));
    assert_eq!(config(a), config(b));
    assert_eq!(place.list(b), FILES);
}

/// The lines of `runs.jsonl`, without times.
fn runs(place: &Place, out: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(place.path(&format!("{out}/runs.jsonl"))).unwrap_or_default();
    text.lines().map(|line| timeless(serde_json::from_str(line).unwrap())).collect()
}

/// The folder, with the comparison `whole` that nothing interrupted, and how long it took.
fn with_whole() -> (Place, Duration) {
    let place = Place::new();
    let started = Instant::now();
    place.run(&args("whole", &[])).succeeded();
    (place, started.elapsed())
}

#[test]
fn kills_at_any_moment() {
    let (place, time) = with_whole();
    let mut rng = chacha(1, "tests.kill-compare", 0);
    let (ends, mut ended, mut comparisons, mut kept) = (trials(8), 0, 0, 0);
    while ended < ends {
        comparisons += 1;
        let out = format!("killed-{comparisons}");
        while ended < ends && !place.path(&out).join("results.json").exists() {
            let mut call = args(&out, &["--resume"]);
            call.extend(rng.random_bool(0.5).then_some("--jobs=2"));
            let mut running = Running::start(&place, &out, &call);
            sleep(time.mul_f64(rng.random_range(0.0..0.7)));
            if !running.is_over() {
                ended += 1;
            }
            drop(running);
            kept += runs(&place, &out).len();
        }
        place.run(&args(&out, &["--resume"])).succeeded();
        check_same(&place, "whole", &out);
    }
    println!("{ended} kills in {comparisons} comparisons, {kept} runs kept");
}

#[test]
fn a_signal_keeps_the_finished_runs() {
    let (place, _) = with_whole();
    for (out, signal, status, jobs) in
        [("terminated", "TERM", 143, "1"), ("interrupted", "INT", 130, "2")]
    {
        let mut running = Running::start(&place, out, &args(out, &["--jobs", jobs]));
        while runs(&place, out).is_empty() {
            assert!(!running.is_over());
            sleep(Duration::from_millis(1));
        }
        running.send(signal);
        let (ended, stderr) = running.wait();
        assert_eq!(ended.code(), Some(status), "{stderr}");
        let kept = runs(&place, out).len();
        assert!(kept > 0 && kept < 8, "{stderr}");
        let last = stderr.lines().last().unwrap();
        let says = format!(
            "SIG{signal}: {kept} of 8 runs are saved in {out}; the same command with --out {out} --resume"
        );
        assert!(last.starts_with(&says), "{stderr}");
        place.run(&args(out, &[])).failed(1, &["is not empty"]);
        place.run(&args(out, &["--resume"])).succeeded();
        check_same(&place, "whole", out);
    }
}

/// At every byte of the last line.
#[test]
fn a_torn_last_line_is_dropped() {
    let (place, _) = with_whole();
    let whole = place.read("whole/runs.jsonl");
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let config = place.text("whole/config.resolved.toml");
    let step = (whole.len() - last) / trials(6);
    for length in (last..whole.len()).step_by(step.max(1)).chain([whole.len() - 1]) {
        let _ = fs::remove_dir_all(place.path("torn"));
        place.write("torn/config.resolved.toml", &config);
        place.write("torn/runs.jsonl", &whole[..length]);
        // What a killed process leaves.
        place.write("torn/compare.lock", "1-0\n");
        place.write("torn/runs.jsonl.77-3.partial", "{\"rou");
        place.run(&args("torn", &["--resume"])).succeeded();
        check_same(&place, "whole", "torn");
    }
}

#[test]
fn a_finished_comparison_trains_nothing() {
    let (place, _) = with_whole();
    let before = place.read("whole/runs.jsonl");
    let printed = place.run(&args("whole", &["--resume", "--format", "json"])).succeeded().json();
    assert_eq!(place.read("whole/runs.jsonl"), before, "no byte of the runs is written anew");
    assert_eq!(place.json("whole/results.json"), printed);
    let lines: Vec<serde_json::Value> = std::str::from_utf8(&before)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(printed["runs"].as_array().unwrap(), &lines, "what is read is what was written");
}

#[test]
fn what_cannot_be_resumed() {
    let (place, _) = with_whole();
    let resume = ["--resume"];
    let other = ["--resume", "--epochs", "3"];
    place.run(&args("whole", &other)).failed(
        1,
        &["whole: was started with another configuration", "`epochs = 2`, now `epochs = 3`"],
    );
    place
        .run(&["compare", "--preset", "smoke", "--resume"])
        .status
        .map_or_else(|| panic!("killed"), |status| assert_eq!(status, 2));
    place.write("file", "");
    place.run(&args("file", &resume)).failed(1, &["file: is a file"]);
    place.write("mine/thesis.txt", "text");
    place.run(&args("mine", &resume)).failed(1, &["mine: holds thesis.txt"]);
    assert_eq!(place.list("mine"), ["thesis.txt"]);

    let config = place.text("whole/config.resolved.toml");
    let text = place.text("whole/runs.jsonl");
    let lines: Vec<&str> = text.lines().collect();
    let of_other = lines[0].replacen("top-k", "switch", 1);
    for (wrong, says) in [
        (format!("{}\n{}\n", lines[0], &lines[1][..90]), "line 2 is not a run"),
        (format!("{}\nnull\n{}\n", lines[0], lines[1]), "line 2 is not a run"),
        (format!("{}\n{}\n", lines[0], lines[0]), "line 2 is of the same router and seed"),
        (format!("{of_other}\n"), "line 1 is of switch seed 1, which is not in config.resolved"),
    ] {
        place.write("wrong/config.resolved.toml", &config);
        place.write("wrong/runs.jsonl", &wrong);
        let says = [says, "wrong/runs.jsonl: ", "remove the line to train the run again"];
        place.run(&args("wrong", &resume)).failed(1, &says);
        assert_eq!(place.text("wrong/runs.jsonl"), wrong, "it is left as it is");
    }
}

#[test]
fn one_process_at_a_time() {
    let place = Place::new();
    let endless = ["--epochs", "100000", "--set", "train.patience=100000", "--resume"];
    let mut first = Running::start(&place, "out", &args("out", &endless));
    while place.list("out").len() < 2 {
        assert!(!first.is_over());
        sleep(Duration::from_millis(1));
    }
    let says = format!("out: another process ({}) is writing the comparison", first.id());
    place.run(&args("out", &endless)).failed(1, &[&says]);
    assert!(!first.is_over());
    drop(first);
    // The lock is that of the process, not its file.
    let short = ["--resume", "--epochs", "100000", "--set", "train.patience=1"];
    place.run(&args("out", &short)).failed(1, &["was started with another configuration"]);
}

#[test]
fn a_number_of_jobs_is_from_1() {
    let place = Place::new();
    for jobs in ["0", "-1", "1025"] {
        let says = format!("--jobs {jobs} is not allowed; it must be from 1 to 1024");
        place.run(&[&SMOKE[..], &["--jobs", jobs]].concat()).failed(2, &[&says]);
    }
    place.run(&[&SMOKE[..], &["--jobs", "two"]].concat()).failed(2, &["invalid value 'two'"]);
    assert!(place.list("runs").is_empty());
}
