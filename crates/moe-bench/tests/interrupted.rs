//! A run that is ended by signals at any moment and resumed ends with the bits of one that was not. The tests run in the
//! precision of the build.
#![allow(clippy::print_stdout, reason = "the number of kills differs from run to run")]

mod common;

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::running::{Running, is_inside_an_epoch};
use common::training::{FILES, args, check_same_end, place};
use common::{timeless, trials};
use moe_core::rand::Rng;
use moe_core::random::chacha;

/// Enough epochs of enough steps to interrupt them, at a learning rate at which the best epoch is not the last.
const LONG: [&str; 6] =
    ["--epochs", "20", "--set", "train.patience=60", "--set", "train.batch_rows=2"];

/// How a run is ended.
#[derive(Clone, Copy, Debug)]
enum End {
    /// At once, by SIGKILL.
    Kill,
    /// By the signal of this name, with this status.
    Signal(&'static str, i32),
}

impl End {
    fn draw(rng: &mut impl Rng) -> Self {
        match rng.random_range(0..4) {
            2 if cfg!(unix) => End::Signal("TERM", 143),
            3 if cfg!(unix) => End::Signal("INT", 130),
            _ => End::Kill,
        }
    }

    /// Ends a run. A signal comes too early, before there is anything to save, or too late, or leaves a checkpoint.
    fn end(self, running: Running) {
        match self {
            End::Kill => drop(running),
            #[cfg(unix)]
            End::Signal(name, expected) => {
                use std::os::unix::process::ExitStatusExt;
                running.send(name);
                let (status, stderr) = running.wait();
                match status.code() {
                    Some(0) => {}
                    Some(code) => {
                        assert_eq!(code, expected, "{stderr}");
                        assert!(stderr.starts_with(&format!("SIG{name}: the run is saved in ")));
                    }
                    None => assert_eq!(status.signal(), Some(expected - 128), "{stderr}"),
                }
            }
            #[cfg(not(unix))]
            End::Signal(..) => unreachable!("not drawn"),
        }
    }
}

/// When a run is ended.
#[derive(Debug)]
enum Moment {
    /// After this time.
    After(Duration),
    /// This long after this number of changes of a checkpoint's files: most likely in the middle of the next.
    AtCheckpoint(usize, Duration),
}

impl Moment {
    fn draw(rng: &mut impl Rng, whole: Duration) -> Self {
        if rng.random_bool(0.5) {
            Moment::After(whole.mul_f64(rng.random_range(0.0..0.6)))
        } else {
            let wait = Duration::from_micros(rng.random_range(0..5_000));
            Moment::AtCheckpoint(rng.random_range(1..10), wait)
        }
    }

    /// Waits for it; false if the run was over before.
    fn wait(&self, running: &mut Running) -> bool {
        let (changes, rest) = match self {
            Moment::After(delay) => (0, *delay),
            Moment::AtCheckpoint(changes, rest) => (*changes, *rest),
        };
        let mut files = running.checkpoint();
        let mut seen = 0;
        while seen < changes && !running.is_over() {
            let now = running.checkpoint();
            seen += usize::from(now != files);
            files = now;
        }
        let started = Instant::now();
        while started.elapsed() < rest && !running.is_over() {
            sleep(Duration::from_micros(100));
        }
        !running.is_over()
    }
}

fn ended_often(threads: &str) {
    let place = place();
    let started = Instant::now();
    place.run(&args("whole", &LONG)).succeeded();
    let time = started.elapsed();
    let result = place.json("whole/result.json");
    assert!(result["best_epoch"].as_u64() < Some(20), "the best weights are not the last ones");

    let mut rng = chacha(1, "tests.kill", threads.len() as u64);
    let (ends, mut ended, mut inside, mut runs) = (trials(8), 0, 0, 0);
    while ended < ends {
        runs += 1;
        let out = format!("killed-{runs}");
        // A run that was killed before it saved anything starts again in its directory.
        fs::create_dir(place.path(&out)).unwrap();
        while ended < ends && !place.path(&out).join("result.json").exists() {
            let mut resume = args(&out, &LONG);
            resume.extend(["--threads", threads, "--resume"]);
            // Six milliseconds: several checkpoints in an epoch.
            resume.extend(rng.random_bool(0.5).then_some("--checkpoint-minutes=0.0001"));
            let (moment, end) = (Moment::draw(&mut rng, time), End::draw(&mut rng));
            let mut running = Running::start(&place, &out, &resume);
            if moment.wait(&mut running) {
                ended += 1;
                end.end(running);
            }
            inside += usize::from(is_inside_an_epoch(&place.path(&out)));
        }
        place.run(&args(&out, &[&LONG[..], &["--resume"]].concat())).succeeded();
        check_same_end(&place, "whole", &out);
        assert_eq!(place.list(&out), FILES);
        assert_eq!(timeless(place.json(&format!("{out}/result.json"))), timeless(result.clone()));
    }
    println!("{ended} ends in {runs} runs, {inside} of them inside an epoch");
}

#[test]
fn on_one_thread() {
    ended_often("1");
}

#[test]
fn on_two_threads() {
    ended_often("2");
}

/// A job that is started again while the first one still runs harms nothing.
#[test]
fn a_second_process_is_refused() {
    let place = place();
    let endless = ["--epochs", "1000000", "--set", "train.patience=1000000"];
    let mut first = Running::start(&place, "run", &args("run", &endless));
    while first.checkpoint().is_empty() || !place.path("run/manifest.json").exists() {
        assert!(!first.is_over());
        sleep(Duration::from_millis(1));
    }
    let says = format!("run: another process ({}) is training in this directory", first.id());
    for _ in 0..3 {
        let second = [&endless[..], &["--resume"]].concat();
        place.run(&args("run", &second)).failed(1, &[&says]);
        place.run(&["eval", "run"]).succeeded();
    }
    assert!(!first.is_over());
    drop(first);
    place.run(&["eval", "run"]).succeeded();
}
