//! What a study has found: the object that `moe tune --format json` prints.

use serde::Serialize;

use crate::config::Config;
use crate::experiment::metadata::Host;
use crate::journal::state::{Study as Kept, Trial, TrialState};
use crate::statistics::top_share::{TopShare, top_share};
use crate::statistics::trial::Trial as Tried;
use crate::statistics::{BudgetUnit, RouterBudget, UnequalBudgets, check_equal_budgets};
use crate::study::found::Found;
use crate::study::space::Parameters;
use crate::study::trial;
use crate::study::worker_id::HOST;

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
    /// The machines and programs that have worked on it, each once.
    pub(crate) hosts: Vec<Host>,
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
            hosts: hosts(study),
        }
    }

    /// Checks that all routers had the same budget: in epochs where the study is to have a number of them, up to the epochs of one
    /// trial; else in trials.
    ///
    /// # Errors
    /// If they differ, with the budget of each router.
    pub(crate) fn check_equal_budgets(&self) -> Result<(), UnequalBudgets> {
        let budgets = self.routers.iter().map(|of| RouterBudget {
            router: of.router.clone(),
            trials: (of.complete + of.pruned + of.failed) as f64,
            epochs: of.epochs as f64,
            seconds: of.seconds,
        });
        let budgets: Vec<RouterBudget> = budgets.collect();
        match self.config.tune.as_ref().and_then(|tune| tune.epochs) {
            Some(all) => {
                let of_trial = self.config.train.epochs as f64;
                check_equal_budgets(&budgets, BudgetUnit::Epochs, of_trial / all as f64)
            }
            None => check_equal_budgets(&budgets, BudgetUnit::Trials, 0.0),
        }
    }
}

/// The machines and programs that have worked on a study.
fn hosts(study: &Kept) -> Vec<Host> {
    let mut hosts: Vec<Host> = Vec::new();
    for (_, value) in study.user_attrs.iter().filter(|(key, _)| key.starts_with(HOST)) {
        if let Ok(host) = serde_json::from_value(value.clone())
            && !hosts.contains(&host)
        {
            hosts.push(host);
        }
    }
    hosts
}

impl RouterTrials {
    fn new(router: &str, study: &Kept) -> Self {
        let mut all = RouterTrials { router: router.to_owned(), ..RouterTrials::default() };
        let (mut tried, mut best): (Vec<Tried>, Option<(f64, &Trial)>) = (Vec::new(), None);
        for trial in of_router(router, study) {
            let statistics = statistics_of(trial);
            let found = trial::found(trial);
            all.epochs += found.as_ref().map_or(0, |of| of.epochs);
            all.seconds += statistics.seconds;
            if trial.state.is_finished() {
                let validation = statistics.validation;
                tried.push(statistics);
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

/// The trials of a router, without those that were run again.
pub(crate) fn of_router<'a>(router: &str, study: &'a Kept) -> Vec<&'a Trial> {
    let repeated = trial::repeated(study);
    let trials = study.trials.iter().filter(|trial| !repeated.contains(&trial.number));
    trials.filter(|trial| trial::router(trial).as_deref() == Some(router)).collect()
}

/// What statistics need to know of a trial. Only one that ran to its end has a validation value, so that it can be chosen.
pub(crate) fn statistics_of(trial: &Trial) -> Tried {
    let found = trial::found(trial);
    let is_complete = trial.state == TrialState::Complete;
    Tried {
        validation: trial::loss(trial).filter(|_| is_complete).unwrap_or(f64::NAN),
        test: test_loss(found.as_ref()).unwrap_or(f64::NAN),
        epochs: found.as_ref().map_or(0.0, |of| of.epochs as f64),
        seconds: found.as_ref().map_or(0.0, |of| of.seconds),
    }
}

fn test_loss(found: Option<&Found>) -> Option<f64> {
    found?.test.as_ref().map(|test| test.loss)
}
