//! What SIGINT, SIGTERM and `--checkpoint-minutes` do to `moe train`.
#![cfg(unix)]

mod common;

use std::os::unix::process::ExitStatusExt;

use common::running::{Running, is_inside_an_epoch};
use common::training::{args, check_manifest, check_same_end, metrics, place};
use common::{Case, Place, check_refused};

/// Epochs that are long: 900 steps and few rows to evaluate.
const LONG: [&str; 8] = [
    "--epochs",
    "2",
    "--set",
    "train.batch_rows=1",
    "--set",
    "dataset.train_rows=900",
    "--set",
    "dataset.val_rows=20",
];

/// Every two milliseconds.
const OFTEN: &str = "--checkpoint-minutes=0.00003";

fn long(out: &'static str, more: &[&'static str]) -> Vec<&'static str> {
    args(out, &[&LONG[..], more].concat())
}

/// The folder, with the run `whole` that nothing interrupted.
fn with_whole() -> Place {
    let place = place();
    place.run(&long("whole", &[])).succeeded();
    place
}

/// Continues the run in `out` with these arguments to the end of `whole`.
fn resumes(place: &Place, out: &'static str) {
    place.run(&long(out, &["--resume", "--threads", "1"])).succeeded();
    check_same_end(place, "whole", out);
}

#[test]
fn a_signal_ends_a_run_inside_an_epoch() {
    let place = with_whole();
    for (out, signal, status) in [("terminated", "TERM", 143), ("interrupted", "INT", 130)] {
        // The first checkpoint shows that signals are caught; more of them would take time.
        let mut running = Running::start(&place, out, &long(out, &["--checkpoint-minutes=0.0003"]));
        running.wait_until_inside_an_epoch();
        running.send(signal);
        let (ended, stderr) = running.wait();
        assert_eq!(ended.code(), Some(status), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        let says = format!("SIG{signal}: the run is saved in {out} after step ");
        assert!(stderr.starts_with(&says), "{stderr}");
        let says = format!("; the same command with --out {out} --resume continues it\n");
        assert!(stderr.ends_with(&says), "{stderr}");
        assert!(is_inside_an_epoch(&place.path(out)), "{stderr}");

        check_manifest(&place, out);
        let epochs = place.json(&format!("{out}/manifest.json"))["epochs"].as_u64().unwrap();
        let lines = place.text(&format!("{out}/metrics.jsonl")).lines().count() as u64;
        assert_eq!(lines, epochs, "a line for each finished epoch");
        place.run(&["eval", out]).succeeded();
        resumes(&place, out);
        assert_eq!(metrics(&place, out).len(), 2);
    }
}

#[test]
fn a_checkpoint_inside_an_epoch_outlives_the_process() {
    let place = with_whole();
    let mut running = Running::start(&place, "run", &long("run", &[OFTEN]));
    running.wait_until_inside_an_epoch();
    drop(running);
    assert!(is_inside_an_epoch(&place.path("run")));
    // The interval is not part of the configuration.
    resumes(&place, "run");
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let place = with_whole();
    for out in ["first", "second", "third", "fourth", "fifth"] {
        let mut running = Running::start(&place, out, &long(out, &[OFTEN]));
        running.wait_until_inside_an_epoch();
        // Both signals are there before the process works on.
        for signal in ["STOP", "TERM", "INT", "CONT"] {
            running.send(signal);
        }
        let (status, stderr) = running.wait();
        // Two threads may have taken one signal each at the same moment, both as the first one. That is as good as one signal,
        // and rare.
        if matches!(status.code(), Some(130 | 143)) {
            continue;
        }
        assert!(matches!(status.signal(), Some(2 | 15)), "{status:?} {stderr}");
        assert_eq!(stderr, "");
        return resumes(&place, out);
    }
    panic!("no second signal ended the process at once");
}

#[test]
fn an_interval_is_a_positive_number() {
    let says: &[&str] = &["is not allowed; it must be positive and finite"];
    let cases: [Case<'_>; 5] = [
        ("--checkpoint-minutes 0", 2, says),
        ("--checkpoint-minutes -1", 2, says),
        ("--checkpoint-minutes nan", 2, says),
        ("--checkpoint-minutes inf", 2, says),
        ("--checkpoint-minutes soon", 2, &["invalid value 'soon' for '--checkpoint-minutes"]),
    ];
    check_refused(&place(), &["train", "--preset", "smoke"], &cases);
    // An interval that no clock reaches.
    place().run(&args("run", &["--checkpoint-minutes", "1e300"])).succeeded();
}
