//! Studies whose processes are ended: no trial is lost and none is run twice.
#![cfg(unix)]

mod common;

use std::thread::sleep;
use std::time::Duration;

use common::journal::{Trial, complete, trials};
use common::running::Running;
use common::{Place, trials as count};

/// A study of two routers with eight trials each.
const STUDY: [&str; 16] = [
    "tune",
    "study.log",
    "--preset",
    "smoke",
    "--routers",
    "top-k,comet",
    "--trials",
    "8",
    "--epochs",
    "6",
    "--threads",
    "1",
    "--progress",
    "none",
    "--jobs",
    "1",
];

/// Asserts that the study has what one that was never ended has.
fn check(place: &Place, whole: &[Trial]) {
    let all = trials(&place.path("study.log"));
    assert_eq!(complete(&all), complete(whole));
    let repeated: Vec<u64> =
        all.iter().filter_map(|trial| trial.attrs.get("moe.retry_of")?.as_u64()).collect();
    for (number, trial) in all.iter().enumerate() {
        assert_eq!(trial.starts.len(), 1, "a trial begins once: {trial:?}");
        let count = repeated.iter().filter(|&&of| of == number as u64).count();
        assert_eq!(count, usize::from(trial.state == 3), "a trial that was lost is repeated once");
        assert!(matches!(trial.state, 1 | 3), "{trial:?}");
    }
}

/// The same study, undisturbed.
fn whole() -> Vec<Trial> {
    let place = Place::new();
    place.run(&STUDY).succeeded();
    trials(&place.path("study.log"))
}

#[test]
fn a_killed_study_ends_as_one_that_was_never_killed() {
    let (place, whole) = (Place::new(), whole());
    let mut kills = 0;
    // Moments of the golden ratio's sequence: spread, and the same in each call of the test.
    for kill in 0..count(4) {
        let moment = (kill as f64 * 0.618).fract();
        let mut running = Running::start(&place, "none", &STUDY);
        sleep(Duration::from_secs_f64(0.05 + 0.8 * moment));
        kills += usize::from(!running.is_over());
        drop(running);
    }
    assert!(kills > 0, "the study was over before");
    place.run(&["tune", "study.log"]).succeeded();
    check(&place, &whole);
}

#[test]
fn processes_share_the_trials() {
    let (place, whole) = (Place::new(), whole());
    let mut workers: Vec<Running> =
        (0..3).map(|_| Running::start(&place, "none", &STUDY)).collect();
    let names = || {
        let all = if place.path("study.log").exists() {
            trials(&place.path("study.log"))
        } else {
            Vec::new()
        };
        let mut names: Vec<String> = all.into_iter().flat_map(|trial| trial.starts).collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    };
    while names() < 2 {
        assert!(!workers[0].is_over() || !workers[1].is_over(), "all trials were of one process");
        sleep(Duration::from_millis(2));
    }
    // One of them dies.
    drop(workers.pop());
    for worker in workers {
        let (status, stderr) = worker.wait();
        assert!(status.success(), "{stderr}");
    }
    place.run(&["tune", "study.log"]).succeeded();
    check(&place, &whole);
}

#[test]
fn a_signal_ends_a_study_and_its_trial_is_repeated() {
    let (place, whole) = (Place::new(), whole());
    for (signal, status) in [("TERM", 143), ("INT", 130)] {
        let running = Running::start(&place, "none", &STUDY);
        let is_begun = || {
            let path = place.path("study.log");
            path.exists() && trials(&path).iter().any(|trial| trial.state == 0)
        };
        while !is_begun() {
            sleep(Duration::from_millis(2));
        }
        running.send(signal);
        let (ended, stderr) = running.wait();
        assert_eq!(ended.code(), Some(status), "{stderr}");
        let says =
            format!("SIG{signal}: the trials are saved; moe tune study.log continues the study");
        assert!(stderr.contains(&says), "{stderr}");
    }
    place.run(&["tune", "study.log"]).succeeded();
    check(&place, &whole);
}

#[test]
fn no_trial_begins_after_the_time() {
    let place = Place::new();
    let args = [&STUDY[..], &["--timeout", "0.000001"]].concat();
    place.run(&args).succeeded();
    assert!(trials(&place.path("study.log")).is_empty());
    place.run(&["tune", "study.log"]).succeeded();
    assert_eq!(trials(&place.path("study.log")).len(), 16);
}
