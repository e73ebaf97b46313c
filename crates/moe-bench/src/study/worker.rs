//! Runs the trials of a study.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use moe_nn::{EpochRecord, Observer, TrainControl, TrainError, TrainState};
use rayon::ThreadPool;

use crate::error::Error;
use crate::experiment::experiment::Experiment;
use crate::experiment::signals::Signals;
use crate::report::trial_progress::TrialProgress;
use crate::study::found::Found;
use crate::study::study::{Job, Outcome, Study};

/// A worker says at least this often that it lives.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// A trial reports its loss after about this many of its epochs, and where a pruner looks at it: a journal of 10,000 trials is
/// read by others in seconds.
const REPORTS: usize = 20;

/// When to stop before all trials are done.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// No trial begins after this time.
    pub(crate) end: Option<Instant>,
    pub(crate) signals: Signals,
}

/// Runs trials of a study until there are none, the time is over or a signal ends the process, one at a time on each of the
/// pools.
///
/// # Errors
/// If the journal cannot be read or written.
pub(crate) fn work(
    study: &Study,
    experiment: &Experiment<'_>,
    pools: &[ThreadPool],
    limits: &Limits,
    progress: &TrialProgress,
) -> Result<(), Error> {
    let has_failed = AtomicBool::new(false);
    let is_over = || {
        let is_late = limits.end.is_some_and(|end| Instant::now() >= end);
        is_late || limits.signals.caught().is_some() || has_failed.load(Ordering::SeqCst)
    };
    let one = || {
        while !is_over() {
            let Some(job) = study.take()? else { break };
            let (outcome, losses) = run(study, experiment, &job, &limits.signals)?;
            study.finish(&job, &losses, &outcome)?;
            progress.end_trial(&job, &outcome, study.done()?);
        }
        Ok(())
    };
    let one = || one().inspect_err(|_| has_failed.store(true, Ordering::SeqCst));
    thread::scope(|scope| {
        let start = |pool| scope.spawn(move || ThreadPool::install(pool, one));
        let threads: Vec<_> = pools.iter().map(start).collect();
        let ends = threads.into_iter().map(|thread| thread.join());
        // The first error, after all have ended.
        let ends: Vec<Result<(), Error>> =
            ends.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect();
        ends.into_iter().collect()
    })
}

/// Runs one trial: how it ended, and its losses that are not in the journal.
fn run(
    study: &Study,
    experiment: &Experiment<'_>,
    job: &Job,
    signals: &Signals,
) -> Result<(Outcome, Vec<(u64, f64)>), Error> {
    let failed = |error: Error| (Outcome::Failed(error.to_string(), Found::default()), Vec::new());
    let variant = study.space().trial(&job.router, &job.parameters, job.seed);
    let experiment = match variant.and_then(|config| experiment.with_config(&config)) {
        Ok(experiment) => experiment,
        Err(error) => return Ok(failed(error)),
    };
    let (model, state) = match experiment.start(&job.router, job.seed) {
        Ok(start) => start,
        Err(error) => return Ok(failed(error)),
    };
    let epochs = experiment.config_of(&job.router).train.epochs;
    let mut reporter = Reporter {
        study,
        job,
        signals,
        every: epochs.div_ceil(REPORTS).max(1) as u64,
        lowest: f64::INFINITY,
        epochs: 0,
        seconds: 0.0,
        unwritten: Vec::new(),
        written: Instant::now(),
        is_stopped: false,
        is_lost: false,
        error: None,
    };
    let result = experiment.run(&job.router, job.seed, model, state, &mut reporter);
    let Reporter { lowest, epochs, seconds, unwritten, is_stopped, error, .. } = reporter;
    if let Some(error) = error {
        return Err(error);
    }
    let outcome = match result {
        Ok(result) => Outcome::Complete(result.val_loss, Found::of_run(&result)),
        Err(Error::Train { source, .. }) if is_stopped && is_interruption(&source) => {
            Outcome::Pruned(lowest, Found { epochs, seconds, test: None })
        }
        Err(Error::Train { source, .. }) if is_interruption(&source) => {
            let name = signals.caught().map_or("a signal", |signal| signal.name());
            Outcome::Interrupted(format!("{name} ended its worker"))
        }
        Err(error) => Outcome::Failed(error.to_string(), Found { epochs, seconds, test: None }),
    };
    Ok((outcome, unwritten))
}

fn is_interruption(error: &TrainError) -> bool {
    matches!(error, TrainError::Interrupted { .. })
}

/// Writes the losses of a trial to the journal, and stops it.
struct Reporter<'a> {
    study: &'a Study,
    job: &'a Job,
    signals: &'a Signals,
    /// Number of epochs from one report to the next.
    every: u64,
    /// The lowest validation loss.
    lowest: f64,
    epochs: u64,
    seconds: f64,
    /// Losses by epoch that are not in the journal.
    unwritten: Vec<(u64, f64)>,
    /// When the journal was last written to.
    written: Instant,
    /// Whether the pruner stops the trial.
    is_stopped: bool,
    /// Whether another process has taken the trial for dead.
    is_lost: bool,
    /// Why the journal could not be written.
    error: Option<Error>,
}

impl Reporter<'_> {
    fn write(&mut self) -> Result<(), Error> {
        self.is_lost |= !self.study.report(self.job, &self.unwritten)?;
        self.unwritten.clear();
        self.written = Instant::now();
        Ok(())
    }

    /// Notes the loss of an epoch and asks the pruner.
    fn note(&mut self, epoch: u64) -> Result<(), Error> {
        let tune = self.study.tune();
        let is_compared = tune.compares_at(epoch);
        if is_compared || epoch.is_multiple_of(self.every) {
            self.unwritten.push((epoch, self.lowest));
        }
        if is_compared {
            self.write()?;
            let [ended, running] = self.study.others(self.job)?;
            self.is_stopped = tune.stops(epoch, self.lowest, &ended, &running);
        }
        Ok(())
    }
}

impl Observer for Reporter<'_> {
    fn on_epoch(&mut self, record: &EpochRecord, _state: &TrainState) -> Result<(), String> {
        self.epochs = record.epoch as u64;
        self.seconds = record.seconds;
        self.lowest = self.lowest.min(record.val_loss);
        self.note(record.epoch as u64).map_err(|error| {
            let text = error.to_string();
            self.error = Some(error);
            text
        })
    }

    fn control(&mut self) -> TrainControl {
        if self.written.elapsed() >= HEARTBEAT
            && let Err(error) = self.write()
        {
            self.error = Some(error);
        }
        let is_over = self.is_stopped || self.is_lost || self.error.is_some();
        if is_over || self.signals.caught().is_some() {
            TrainControl::SaveAndStop
        } else {
            TrainControl::Continue
        }
    }
}
