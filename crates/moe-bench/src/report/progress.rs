//! Progress on stderr: a bar on a terminal, lines elsewhere.

use std::fmt::Display;
use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use moe_nn::{EpochRecord, Observer, TrainState};

use crate::experiment::results::{DivergedRun, RunOutcome, RunResult};
use crate::output::{note, set_bar};

/// Receives the events of a comparison, whose runs may be in several threads at the same time. All methods have defaults, which
/// ignore the event.
pub trait Progress: Sync {
    /// Called before the first run: the number of all runs, of those that were finished by an earlier process, and the largest
    /// number of steps of a run.
    fn begin(&self, _runs: usize, _finished: usize, _most_steps_per_run: u64) {}

    /// Called before each run, in its thread, with its number in the order of the results, from 1: the observer of its training.
    fn begin_run(&self, _number: usize, _router: &str, _seed: u64) -> Box<dyn Observer + '_> {
        Box::new(())
    }

    /// Called after each run, in its thread.
    fn end_run(&self, _number: usize, _outcome: &RunOutcome) {}

    /// Called after the last run.
    fn end(&self) {}
}

/// Ignores all events.
impl Progress for () {}

/// Values of `--progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    /// A bar on a terminal, lines elsewhere
    Auto,
    /// A line per epoch, or every ten seconds
    Plain,
    /// No progress
    None,
}

impl ProgressKind {
    /// The progress of a training run or a comparison.
    pub(crate) fn start(self) -> Box<dyn Progress> {
        if self == ProgressKind::None {
            return Box::new(());
        }
        let meter = Meter::start(self, "{bar:30} {percent}% {elapsed} (about {eta} left)  {msg}");
        Box::new(Training { meter, runs: AtomicUsize::new(0), steps_per_run: AtomicU64::new(0) })
    }
}

/// A bar on a terminal, or lines instead of it.
pub(crate) struct Meter {
    /// Hidden, and without effect, except on a terminal.
    pub(crate) bar: ProgressBar,
    /// Whether lines replace the bar.
    has_lines: bool,
    last_line: Instant,
}

impl Meter {
    /// A meter whose bar has a template of `indicatif`.
    pub(crate) fn start(kind: ProgressKind, template: &str) -> Self {
        let is_bar = kind == ProgressKind::Auto && stderr().is_terminal();
        let style = ProgressStyle::with_template(template).expect("a well-formed template");
        let bar = if is_bar { ProgressBar::no_length() } else { ProgressBar::hidden() };
        let bar = bar.with_style(style);
        set_bar(bar.clone());
        let has_lines = !is_bar && kind != ProgressKind::None;
        Meter { bar, has_lines, last_line: Instant::now() }
    }

    /// Prints a line if there is no bar.
    pub(crate) fn line(&self, line: impl Display) {
        if self.has_lines {
            note(line);
        }
    }

    /// Prints a line if there is no bar and the last such line was ten seconds ago.
    pub(crate) fn line_now_and_then(&mut self, line: impl Display) {
        if self.last_line.elapsed() >= Duration::from_secs(10) {
            self.last_line = Instant::now();
            self.line(line);
        }
    }
}

/// One meter over all runs.
struct Training {
    meter: Meter,
    runs: AtomicUsize,
    steps_per_run: AtomicU64,
}

impl Training {
    /// Name of a run in lines.
    fn name(&self, number: usize, router: &str, seed: u64) -> String {
        format!("[{number}/{}] {router} seed {seed}", self.runs.load(Ordering::Relaxed))
    }
}

/// The part of a run in the meter.
struct OneRun<'t> {
    training: &'t Training,
    name: String,
    /// Steps that the bar has counted.
    counted: u64,
}

impl OneRun<'_> {
    /// Lets the bar count the run up to this step.
    fn count_to(&mut self, step: u64) {
        self.training.meter.bar.inc(step.saturating_sub(self.counted));
        self.counted = self.counted.max(step);
    }
}

impl Observer for OneRun<'_> {
    fn on_step(&mut self, step: u64, _steps_per_epoch: u64, _loss: f64) {
        self.count_to(step);
    }

    fn on_epoch(&mut self, record: &EpochRecord, _state: &TrainState) -> Result<(), String> {
        let EpochRecord { epoch, train_loss, val_loss, is_best, seconds, .. } = record;
        let mark = if *is_best { " *" } else { "" };
        let (name, meter) = (&self.name, &self.training.meter);
        meter.bar.set_message(format!("{name}, epoch {epoch}, val loss {val_loss:.4}"));
        meter.line(format_args!(
            "{name}: epoch {epoch}, train loss {train_loss:.4}, val loss {val_loss:.4}{mark}, {seconds:.1} s"
        ));
        Ok(())
    }
}

impl Drop for OneRun<'_> {
    fn drop(&mut self) {
        // A run that stopped early has no more steps.
        self.count_to(self.training.steps_per_run.load(Ordering::Relaxed));
    }
}

impl Progress for Training {
    fn begin(&self, runs: usize, finished: usize, most_steps_per_run: u64) {
        self.runs.store(runs, Ordering::Relaxed);
        self.steps_per_run.store(most_steps_per_run, Ordering::Relaxed);
        self.meter.bar.set_length(runs as u64 * most_steps_per_run);
        self.meter.bar.set_position(finished as u64 * most_steps_per_run);
    }

    fn begin_run(&self, number: usize, router: &str, seed: u64) -> Box<dyn Observer + '_> {
        let name = self.name(number, router, seed);
        self.meter.bar.set_message(name.clone());
        Box::new(OneRun { training: self, name, counted: 0 })
    }

    fn end_run(&self, number: usize, outcome: &RunOutcome) {
        let (router, seed) = outcome.key();
        let name = self.name(number, router, seed);
        match outcome {
            RunOutcome::Finished(run) => {
                let RunResult { best_epoch, test, seconds, .. } = &**run;
                let loss = test.loss;
                note(format_args!(
                    "{name}: test loss {loss:.4} (epoch {best_epoch}), {seconds:.1} s"
                ));
            }
            RunOutcome::Diverged(DivergedRun { error, .. }) => {
                note(format_args!("{name}: diverged: {error}"));
            }
        }
    }

    fn end(&self) {
        self.meter.bar.finish_and_clear();
    }
}
