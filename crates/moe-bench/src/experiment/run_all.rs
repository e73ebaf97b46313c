//! All runs of a comparison, one after the other or side by side.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use moe_nn::{Models, NotFiniteCause, Observer, TrainControl};
use rayon::ThreadPool;

use crate::config::Config;
use crate::error::Error;
use crate::experiment::experiment::Experiment;
use crate::experiment::metadata::Host;
use crate::experiment::results::{Comparison, DivergedRun, RunOutcome};
use crate::experiment::signals::Signals;
use crate::report::progress::Progress;

/// Trains every router from every seed and tests them all on the same data. A run that diverges is among
/// [`Comparison::diverged`].
///
/// # Errors
/// If the configuration is wrong, the data cannot be loaded, or a run fails for another reason.
pub fn compare(
    config: &Config,
    models: &Models,
    progress: &dyn Progress,
) -> Result<Comparison, Error> {
    let experiment = Experiment::prepare(config, models)?;
    let outcomes = Runs::new(&experiment, &[], None).all(Vec::new(), progress, &mut |_| Ok(()))?;
    let host = Host::here(rayon::current_num_threads(), 1);
    Ok(Comparison::new(&experiment.config, &experiment.data, host, outcomes))
}

/// The runs of an experiment and how to train them.
pub(crate) struct Runs<'a> {
    experiment: &'a Experiment<'a>,
    /// One for each run at a time; without one the runs take turns in the calling thread.
    pools: &'a [ThreadPool],
    /// What ends training before its end.
    signals: Option<&'a Signals>,
    /// Whether a run has failed, so that the others need not go on.
    has_failed: AtomicBool,
}

/// Asks a run to stop.
struct Stop<'a>(&'a Runs<'a>);

impl Observer for Stop<'_> {
    fn control(&mut self) -> TrainControl {
        if self.0.must_stop() { TrainControl::SaveAndStop } else { TrainControl::Continue }
    }
}

/// What the threads share: the outcomes that there are, in the order of the results, and the first error.
struct Shared<'k> {
    outcomes: Vec<Option<RunOutcome>>,
    keep: &'k mut (dyn FnMut(&[&RunOutcome]) -> Result<(), Error> + Send),
    error: Option<Error>,
}

impl Shared<'_> {
    fn add(&mut self, index: usize, outcome: RunOutcome) -> Result<(), Error> {
        self.outcomes[index] = Some(outcome);
        let so_far: Vec<&RunOutcome> = self.outcomes.iter().flatten().collect();
        (self.keep)(&so_far)
    }
}

impl<'a> Runs<'a> {
    pub(crate) fn new(
        experiment: &'a Experiment<'a>,
        pools: &'a [ThreadPool],
        signals: Option<&'a Signals>,
    ) -> Self {
        Runs { experiment, pools, signals, has_failed: AtomicBool::new(false) }
    }

    /// All of them: router and seed of each, in the order of the results.
    pub(crate) fn keys(config: &Config) -> Vec<(&str, u64)> {
        let routers = config.run.routers.iter();
        routers.flat_map(|router| config.seeds().map(move |seed| (&**router, seed))).collect()
    }

    /// Number of all of them.
    pub(crate) fn count(config: &Config) -> usize {
        config.run.routers.len().saturating_mul(config.run.seeds)
    }

    fn must_stop(&self) -> bool {
        self.has_failed.load(Ordering::SeqCst)
            || self.signals.is_some_and(|signals| signals.caught().is_some())
    }

    /// Trains those runs that are not in `finished`; returns all outcomes in the order of the results, without those that a
    /// signal kept from being trained. After each run `keep` receives the outcomes so far.
    ///
    /// # Errors
    /// If a run fails for another reason than that it diverges.
    pub(crate) fn all(
        &self,
        mut finished: Vec<RunOutcome>,
        progress: &dyn Progress,
        keep: &mut (dyn FnMut(&[&RunOutcome]) -> Result<(), Error> + Send),
    ) -> Result<Vec<RunOutcome>, Error> {
        let Experiment { config, .. } = self.experiment;
        let keys = Self::keys(config);
        let mut outcomes = Vec::new();
        for key in &keys {
            let place = finished.iter().position(|outcome| outcome.key() == *key);
            outcomes.push(place.map(|place| finished.swap_remove(place)));
        }
        let missing: Vec<usize> = (0..keys.len()).filter(|&i| outcomes[i].is_none()).collect();
        let most_steps = config.run.routers.iter().map(|router| self.experiment.most_steps(router));
        progress.begin(keys.len(), keys.len() - missing.len(), most_steps.max().unwrap_or(0));
        let next = AtomicUsize::new(0);
        let shared = Mutex::new(Shared { outcomes, keep, error: None });
        let work = || {
            while !self.must_stop()
                && let Some(&index) = missing.get(next.fetch_add(1, Ordering::SeqCst))
            {
                let (router, seed) = keys[index];
                let ended = self.one(index + 1, router, seed, progress);
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let added = ended.and_then(|outcome| match outcome {
                    Some(outcome) => shared.add(index, outcome),
                    None => Ok(()),
                });
                if let Err(error) = added {
                    self.has_failed.store(true, Ordering::SeqCst);
                    shared.error.get_or_insert(error);
                }
            }
        };
        match self.pools {
            [] => work(),
            [pool] => pool.install(work),
            pools => thread::scope(|scope| {
                for pool in pools {
                    scope.spawn(|| pool.install(work));
                }
            }),
        }
        progress.end();
        let Shared { outcomes, error, .. } =
            shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) => Err(error),
            None => Ok(outcomes.into_iter().flatten().collect()),
        }
    }

    /// Trains one; `None` if it was stopped.
    fn one(
        &self,
        number: usize,
        router: &str,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Option<RunOutcome>, Error> {
        let span = tracing::error_span!("run", router, seed);
        let _in_log = (self.pools.len() > 1).then(|| span.enter());
        let (model, state) = self.experiment.start(router, seed)?;
        let mut watching = progress.begin_run(number, router, seed);
        let mut observer = (Stop(self), &mut *watching);
        let ended = self.experiment.run(router, seed, model, state, &mut observer);
        drop(watching);
        let outcome = match ended {
            Ok(mut run) => {
                if self.pools.len() > 1 {
                    run.host.jobs = self.pools.len();
                    // Those of all runs together.
                    run.cost.cpu_seconds = None;
                }
                RunOutcome::Finished(Box::new(run))
            }
            Err(Error::Train { source, .. })
                if matches!(
                    source.not_finite_cause(),
                    Some(NotFiniteCause::LearningRate | NotFiniteCause::FirstStep(_))
                ) =>
            {
                let error = source.to_string();
                RunOutcome::Diverged(DivergedRun { router: router.into(), seed, error })
            }
            Err(Error::Train { source, .. })
                if matches!(*source, moe_nn::TrainError::Interrupted { .. }) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        progress.end_run(number, &outcome);
        Ok(Some(outcome))
    }
}
