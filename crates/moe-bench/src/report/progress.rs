use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};
use moe_nn::EpochRecord;

use crate::experiment::results::RunResult;
use crate::output::note;

/// Is told how a comparison goes. Nothing of it goes to stdout.
pub trait Progress {
    /// Before the first run.
    fn begin(&mut self, _runs: usize, _most_steps_per_run: u64) {}
    /// Before each run.
    fn begin_run(&mut self, _router: &str, _seed: u64) {}
    /// After each step of a run.
    fn step(&mut self, _step: u64, _loss: f64) {}
    /// After each epoch of a run.
    fn epoch(&mut self, _record: &EpochRecord) {}
    /// After each run.
    fn end_run(&mut self, _result: &RunResult) {}
    /// After the last run.
    fn end(&mut self) {}
}

/// Silence.
impl Progress for () {}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ProgressKind {
    /// A bar on a terminal, lines elsewhere.
    Auto,
    /// A line per epoch, or now and then.
    Plain,
    /// Nothing.
    None,
}

impl ProgressKind {
    pub(crate) fn start(self) -> Box<dyn Progress> {
        match self {
            ProgressKind::None => Box::new(()),
            ProgressKind::Auto if stderr().is_terminal() => Box::new(Bar::new()),
            ProgressKind::Auto | ProgressKind::Plain => Box::new(Lines::default()),
        }
    }
}

/// A line on stderr per epoch and run.
#[derive(Default)]
struct Lines {
    runs: usize,
    run: usize,
    name: String,
}

impl Progress for Lines {
    fn begin(&mut self, runs: usize, _most_steps_per_run: u64) {
        self.runs = runs;
    }

    fn begin_run(&mut self, router: &str, seed: u64) {
        self.run += 1;
        self.name = format!("[{}/{}] {router} seed {seed}", self.run, self.runs);
    }

    fn epoch(&mut self, record: &EpochRecord) {
        let EpochRecord { epoch, train_loss, val_loss, is_best, seconds, .. } = record;
        let mark = if *is_best { " *" } else { "" };
        note(format_args!(
            "{}: epoch {epoch}, train loss {train_loss:.4}, val loss {val_loss:.4}{mark}, {seconds:.1} s",
            self.name
        ));
    }

    fn end_run(&mut self, result: &RunResult) {
        let RunResult { best_epoch, test, seconds, .. } = result;
        let loss = test.loss;
        note(format_args!(
            "{}: test loss {loss:.4} (epoch {best_epoch}), {seconds:.1} s",
            self.name
        ));
    }
}

/// One bar over all runs, with the time that is left.
struct Bar {
    bar: ProgressBar,
    steps_per_run: u64,
    run: u64,
    name: String,
}

impl Bar {
    fn new() -> Self {
        let style = "{bar:30} {percent}% {elapsed} (about {eta} left)  {msg}";
        let bar = ProgressBar::new(1)
            .with_style(ProgressStyle::with_template(style).expect("the template is well formed"));
        Bar { bar, steps_per_run: 0, run: 0, name: String::new() }
    }
}

impl Progress for Bar {
    fn begin(&mut self, runs: usize, most_steps_per_run: u64) {
        self.steps_per_run = most_steps_per_run;
        self.bar.set_length(runs as u64 * most_steps_per_run);
    }

    fn begin_run(&mut self, router: &str, seed: u64) {
        self.name = format!("{router} seed {seed}");
        self.bar.set_message(self.name.clone());
    }

    fn step(&mut self, step: u64, _loss: f64) {
        self.bar.set_position(self.run * self.steps_per_run + step);
    }

    fn epoch(&mut self, record: &EpochRecord) {
        let EpochRecord { epoch, val_loss, .. } = record;
        self.bar.set_message(format!("{}, epoch {epoch}, val loss {val_loss:.4}", self.name));
    }

    fn end_run(&mut self, result: &RunResult) {
        self.run += 1;
        self.bar.set_position(self.run * self.steps_per_run);
        self.bar.println(format!(
            "{}: test loss {:.4} (epoch {} of {}), {:.1} s",
            self.name, result.test.loss, result.best_epoch, result.epochs, result.seconds
        ));
    }

    fn end(&mut self) {
        self.bar.finish_and_clear();
    }
}
