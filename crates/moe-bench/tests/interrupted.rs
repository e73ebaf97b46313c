//! A run that is killed at any moment and resumed ends with the bits of one that was not. The tests run in the
//! precision of the build.
#![allow(clippy::print_stdout, reason = "the number of kills differs from run to run")]

mod common;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::training::{FILES, args, check_same_end, place};
use common::{Place, timeless};
use moe_core::rand::Rng;
use moe_core::random::chacha;

/// Enough epochs to interrupt them, at a learning rate at which the best epoch is not the last.
const LONG: [&str; 4] = ["--epochs", "60", "--set", "train.patience=60"];

const KILLS: usize = 20;

/// A process that is killed when it goes out of scope.
struct Running(Child);

impl Running {
    fn start(place: &Place, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_moe"));
        command.args(args).current_dir(place.path("")).stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().unwrap())
    }

    /// Returns whether it has ended, which must be with success.
    fn is_over(&mut self) -> bool {
        let ended = self.0.try_wait().unwrap();
        assert!(ended.is_none_or(|status| status.success()), "{ended:?}");
        ended.is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGKILL, if it has not ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Names of the files of checkpoints in `out`, which change with every checkpoint.
fn checkpoint(place: &Place, out: &str) -> Vec<String> {
    place.list(out).into_iter().filter(|name| name.contains('-')).collect()
}

/// When a run is killed.
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
            Moment::After(whole.mul_f64(rng.random_range(0.0..0.2)))
        } else {
            let wait = Duration::from_micros(rng.random_range(0..5_000));
            Moment::AtCheckpoint(rng.random_range(1..10), wait)
        }
    }

    /// Waits for it; false if the run was over before.
    fn wait(&self, place: &Place, out: &str, running: &mut Running) -> bool {
        let (changes, rest) = match self {
            Moment::After(delay) => (0, *delay),
            Moment::AtCheckpoint(changes, rest) => (*changes, *rest),
        };
        let mut files = checkpoint(place, out);
        let mut seen = 0;
        while seen < changes && !running.is_over() {
            let now = checkpoint(place, out);
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

fn killed_often(threads: &str) {
    let place = place();
    let started = Instant::now();
    place.run(&args("whole", &LONG)).succeeded();
    let time = started.elapsed();
    let result = place.json("whole/result.json");
    assert!(result["best_epoch"].as_u64() < Some(60), "the best weights are not the last ones");

    let mut rng = chacha(1, "tests.kill", threads.len() as u64);
    let (mut kills, mut runs) = (0, 0);
    while kills < KILLS {
        runs += 1;
        let out = format!("killed-{runs}");
        // A run that was killed before it saved anything starts again in its directory.
        fs::create_dir(place.path(&out)).unwrap();
        let more = [&LONG[..], &["--threads", threads, "--resume"]].concat();
        let resume = args(&out, &more);
        while kills < KILLS && !place.path(&out).join("result.json").exists() {
            let moment = Moment::draw(&mut rng, time);
            let mut running = Running::start(&place, &resume);
            if moment.wait(&place, &out, &mut running) {
                kills += 1;
            }
            drop(running);
        }
        place.run(&resume).succeeded();
        check_same_end(&place, "whole", &out);
        assert_eq!(place.list(&out), FILES);
        assert_eq!(timeless(place.json(&format!("{out}/result.json"))), timeless(result.clone()));
    }
    println!("{kills} kills in {runs} runs");
}

#[test]
fn on_one_thread() {
    killed_often("1");
}

#[test]
fn on_two_threads() {
    killed_often("2");
}

/// A job that is started again while the first one still runs harms nothing.
#[test]
fn a_second_process_is_refused() {
    let place = place();
    let endless = ["--epochs", "1000000", "--set", "train.patience=1000000"];
    let mut first = Running::start(&place, &args("run", &endless));
    while checkpoint(&place, "run").is_empty() || !place.path("run/manifest.json").exists() {
        assert!(!first.is_over());
        sleep(Duration::from_millis(1));
    }
    let says = format!("run: another process ({}) is training in this directory", first.0.id());
    for _ in 0..3 {
        let second = [&endless[..], &["--resume"]].concat();
        place.run(&args("run", &second)).failed(1, &[&says]);
        place.run(&["eval", "run"]).succeeded();
    }
    assert!(!first.is_over());
    drop(first);
    place.run(&["eval", "run"]).succeeded();
}
