//! What a study has found: the object that `moe tune --format json` prints.

use serde::Serialize;

use crate::config::Config;
use crate::experiment::statistics::Summary;
use crate::journal::state::{Study as Kept, Trial, TrialState};
use crate::study::found::Found;
use crate::study::space::Parameters;
use crate::study::trial;

/// A study.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StudySummary {
    /// `moe.tune/1`
    pub(crate) schema: &'static str,
    /// The journal, as it was given.
    pub(crate) study: String,
    /// Id of the data set.
    pub(crate) dataset: String,
    /// The configuration, complete.
    pub(crate) config: Config,
    /// The routers in the order of the configuration.
    pub(crate) routers: Vec<RouterTrials>,
}

/// The trials of a router.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct RouterTrials {
    /// The router's id.
    pub(crate) router: String,
    /// Number of trials that ran to their end.
    pub(crate) complete: usize,
    /// Number of trials that were stopped for their losses.
    pub(crate) pruned: usize,
    /// Number of trials that could not run to their end, without those that were run again.
    pub(crate) failed: usize,
    /// Number of trials that wait or run.
    pub(crate) unfinished: usize,
    /// Number of epochs of all trials that have ended.
    pub(crate) epochs: u64,
    /// Seconds of training of all trials that have ended.
    pub(crate) seconds: f64,
    /// The trial with the lowest validation loss.
    pub(crate) best: Option<BestTrial>,
    /// The test losses of the 5 % with the lowest validation losses of all complete trials, at least one.
    pub(crate) top: Option<TopTrials>,
}

/// The trial of a router with the lowest validation loss.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BestTrial {
    /// Its number in the study.
    pub(crate) number: usize,
    /// The seed of its run.
    pub(crate) seed: Option<u64>,
    pub(crate) val_loss: f64,
    /// Its test loss, which did not choose it.
    pub(crate) test_loss: Option<f64>,
    pub(crate) parameters: Parameters,
}

/// The best trials of a router together.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TopTrials {
    /// Number of trials.
    pub(crate) trials: usize,
    /// Mean of their test losses.
    pub(crate) test_loss: Summary,
}

impl StudySummary {
    pub(crate) fn new(path: String, config: &Config, study: &Kept) -> Self {
        let routers = config.run.routers.iter().map(|id| RouterTrials::new(id, study));
        StudySummary {
            schema: "moe.tune/1",
            study: path,
            dataset: config.dataset.name.clone(),
            config: config.clone(),
            routers: routers.collect(),
        }
    }
}

impl RouterTrials {
    fn new(router: &str, study: &Kept) -> Self {
        let mut all = RouterTrials { router: router.to_owned(), ..RouterTrials::default() };
        let repeated = trial::repeated(study);
        // Validation loss, test loss and trial of those that are complete.
        let mut complete: Vec<(f64, Option<f64>, &Trial)> = Vec::new();
        for trial in &study.trials {
            if trial::router(trial).as_deref() != Some(router) {
                continue;
            }
            let found = trial::found(trial);
            if let Some(Found { epochs, seconds, .. }) = found {
                all.epochs += epochs;
                all.seconds += seconds;
            }
            match trial.state {
                TrialState::Complete => {
                    all.complete += 1;
                    let loss = trial::loss(trial).filter(|loss| loss.is_finite());
                    let test = found.and_then(|found| found.test).map(|test| test.loss);
                    complete.extend(loss.map(|loss| (loss, test, trial)));
                }
                TrialState::Pruned => all.pruned += 1,
                TrialState::Fail if repeated.contains(&trial.number) => {}
                TrialState::Fail => all.failed += 1,
                TrialState::Running | TrialState::Waiting => all.unfinished += 1,
            }
        }
        // Equal losses in the order of the trials.
        complete.sort_by(|a, b| a.0.total_cmp(&b.0));
        all.best = complete.first().map(|&(val_loss, test_loss, trial)| BestTrial {
            number: trial.number,
            seed: trial::seed(trial),
            val_loss,
            test_loss,
            parameters: trial::parameters(trial),
        });
        let kept = complete.len().div_ceil(20);
        let tests: Vec<f64> = complete[..kept].iter().filter_map(|(_, test, _)| *test).collect();
        let top = TopTrials { trials: tests.len(), test_loss: Summary::of(&tests) };
        all.top = (!tests.is_empty()).then_some(top);
        all
    }
}
