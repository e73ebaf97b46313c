//! Progress of `moe tune` on stderr: a line per trial, and a bar on a terminal.

use indicatif::ProgressBar;

use crate::output::note;
use crate::report::progress::{Meter, ProgressKind};
use crate::study::study::{Job, Outcome};

/// The trials that have ended, of those that a study is to have.
pub(crate) struct TrialProgress {
    /// Hidden except on a terminal.
    bar: ProgressBar,
    kind: ProgressKind,
    all: usize,
}

impl TrialProgress {
    /// Progress of a study of `all` trials, of which `done` have ended.
    pub(crate) fn start(kind: ProgressKind, all: usize, done: usize) -> Self {
        let template = "{bar:30} {pos} of {len} trials {elapsed} (about {eta} left)";
        let bar = Meter::start(kind, template).bar;
        bar.set_length(all as u64);
        bar.set_position(done as u64);
        // The time that is left follows from the trials of this process.
        bar.reset_eta();
        TrialProgress { bar, kind, all }
    }

    /// Tells of a trial that has ended, with the number of those that have.
    pub(crate) fn end_trial(&self, job: &Job, outcome: &Outcome, done: usize) {
        if self.kind == ProgressKind::None {
            return;
        }
        self.bar.set_position(done as u64);
        let Job { number, router, .. } = job;
        let end = match outcome {
            Outcome::Complete(loss, found) => {
                let test = found.test.as_ref().map_or(f64::NAN, |test| test.loss);
                format!(
                    "validation loss {loss:.4}, test loss {test:.4}, {} epochs, {:.1} s",
                    found.epochs, found.seconds
                )
            }
            Outcome::Pruned(loss, found) => format!(
                "stopped at a validation loss of {loss:.4} after {} epochs, {:.1} s",
                found.epochs, found.seconds
            ),
            Outcome::Failed(reason, _) => format!("failed: {reason}"),
            Outcome::Interrupted(reason) => format!("{reason}; it is to be run again"),
        };
        note(format_args!("[{done}/{}] trial {number} {router}: {end}", self.all));
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
