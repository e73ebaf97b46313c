//! Progress on stderr: a bar on a terminal, lines elsewhere.

use std::fmt::Display;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use moe_nn::{EpochRecord, Observer, TrainState};

use crate::experiment::results::RunResult;
use crate::output::{note, set_bar};

/// Receives the events of a comparison, beside those of each run's training.
pub trait Progress: Observer {
    /// Called before the first run.
    fn begin(&mut self, _runs: usize, _most_steps_per_run: u64) {}
    /// Called before each run.
    fn begin_run(&mut self, _router: &str, _seed: u64) {}
    /// Called after each run.
    fn end_run(&mut self, _result: &RunResult) {}
    /// Called after the last run.
    fn end(&mut self) {}
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
        Box::new(Training { meter, runs: 0, run: 0, steps_per_run: 0, name: String::new() })
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
    runs: usize,
    /// Runs that have begun.
    run: usize,
    steps_per_run: u64,
    name: String,
}

impl Observer for Training {
    fn on_step(&mut self, step: u64, _steps_per_epoch: u64, _loss: f64) {
        self.meter.bar.set_position((self.run as u64 - 1) * self.steps_per_run + step);
    }

    fn on_epoch(&mut self, record: &EpochRecord, _state: &TrainState) -> Result<(), String> {
        let EpochRecord { epoch, train_loss, val_loss, is_best, seconds, .. } = record;
        let mark = if *is_best { " *" } else { "" };
        let name = &self.name;
        self.meter.bar.set_message(format!("{name}, epoch {epoch}, val loss {val_loss:.4}"));
        self.meter.line(format_args!(
            "{name}: epoch {epoch}, train loss {train_loss:.4}, val loss {val_loss:.4}{mark}, {seconds:.1} s"
        ));
        Ok(())
    }
}

impl Progress for Training {
    fn begin(&mut self, runs: usize, most_steps_per_run: u64) {
        (self.runs, self.steps_per_run) = (runs, most_steps_per_run);
        self.meter.bar.set_length(runs as u64 * most_steps_per_run);
    }

    fn begin_run(&mut self, router: &str, seed: u64) {
        self.run += 1;
        self.name = format!("[{}/{}] {router} seed {seed}", self.run, self.runs);
        self.meter.bar.set_message(self.name.clone());
    }

    fn end_run(&mut self, result: &RunResult) {
        let RunResult { best_epoch, test, seconds, .. } = result;
        let (name, loss) = (&self.name, test.loss);
        self.meter.bar.set_position(self.run as u64 * self.steps_per_run);
        note(format_args!("{name}: test loss {loss:.4} (epoch {best_epoch}), {seconds:.1} s"));
    }

    fn end(&mut self) {
        self.meter.bar.finish_and_clear();
    }
}
