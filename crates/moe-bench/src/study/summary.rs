//! What a study has found: the object that `moe tune --format json` prints.

use serde::Serialize;

use crate::config::Config;
use crate::journal::state::{Study as Kept, Trial, TrialState};
use crate::statistics::top_share::{TopShare, top_share};
use crate::statistics::trial::Trial as Tried;
use crate::study::found::Found;
use crate::study::space::Parameters;
use crate::study::trial;

/// The share of the trials whose test losses the papers state.
const TOP: f64 = 0.05;

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
    /// The test losses of the 5 % of all trials that have the lowest validation losses, at least one.
    pub(crate) top: Option<TopShare>,
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
        let (mut tried, mut best): (Vec<Tried>, Option<(f64, &Trial)>) = (Vec::new(), None);
        for trial in &study.trials {
            if trial::router(trial).as_deref() != Some(router) || repeated.contains(&trial.number) {
                continue;
            }
            let found = trial::found(trial);
            let (epochs, seconds) = found.as_ref().map_or((0, 0.0), |of| (of.epochs, of.seconds));
            all.epochs += epochs;
            all.seconds += seconds;
            if trial.state.is_finished() {
                // Only a trial that ran to its end can be chosen.
                let is_complete = trial.state == TrialState::Complete;
                let validation = trial::loss(trial).filter(|_| is_complete).unwrap_or(f64::NAN);
                let test = test_loss(found.as_ref()).unwrap_or(f64::NAN);
                tried.push(Tried { validation, test, epochs: epochs as f64, seconds });
                if validation.is_finite() && best.is_none_or(|(least, _)| validation < least) {
                    best = Some((validation, trial));
                }
            }
            match trial.state {
                TrialState::Complete => all.complete += 1,
                TrialState::Pruned => all.pruned += 1,
                TrialState::Fail => all.failed += 1,
                TrialState::Running | TrialState::Waiting => all.unfinished += 1,
            }
        }
        all.best = best.map(|(val_loss, trial)| BestTrial {
            number: trial.number,
            seed: trial::seed(trial),
            val_loss,
            test_loss: test_loss(trial::found(trial).as_ref()),
            parameters: trial::parameters(trial),
        });
        all.top = top_share(&tried, TOP);
        all
    }
}

fn test_loss(found: Option<&Found>) -> Option<f64> {
    found?.test.as_ref().map(|test| test.loss)
}
