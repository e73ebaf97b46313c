//! What a study keeps of a trial beside Optuna's own fields: user attributes whose names begin with `moe.`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::journal::state::{Param, Study, Trial, TrialState};
use crate::study::found::Found;
use crate::study::pruner::Curve;
use crate::study::space::{Parameters, ROUTER};

/// Number of the trial among those that `moe` began by itself, from 0, across the routers.
pub(crate) const INDEX: &str = "moe.index";
/// Seed of the trial's run.
pub(crate) const SEED: &str = "moe.trial_seed";
/// The process that works on the trial: a [`WorkerId`](crate::study::worker_id::WorkerId).
pub(crate) const WORKER: &str = "moe.worker";
/// When the process was last heard of.
pub(crate) const ALIVE: &str = "moe.alive";
/// Number of the trial that this one repeats.
pub(crate) const RETRY_OF: &str = "moe.retry_of";
/// Why the trial failed.
pub(crate) const ERROR: &str = "moe.error";
/// What the trial has cost and found: a [`Found`].
pub(crate) const FOUND: &str = "moe.found";
/// Optuna's name of the parameters that a waiting trial must take, a system attribute.
pub(crate) const FIXED: &str = "fixed_params";

/// The router of a trial, if it has one.
pub(crate) fn router(trial: &Trial) -> Option<String> {
    trial.params.get(ROUTER)?.external().as_str().map(Into::into)
}

/// The seed of a trial's run, if `moe` has begun it.
pub(crate) fn seed(trial: &Trial) -> Option<u64> {
    trial.user_attrs.get(SEED).and_then(Json::as_u64)
}

/// The losses that a trial has reported.
pub(crate) fn curve(trial: &Trial) -> Curve {
    let reported = trial.intermediate.iter();
    reported.filter_map(|(&step, &loss)| Some((u64::try_from(step).ok()?, loss))).collect()
}

/// The loss of a trial that has one.
pub(crate) fn loss(trial: &Trial) -> Option<f64> {
    trial.values.as_ref()?.first().copied()
}

/// Whether a trial has ended by itself or was stopped for its losses.
pub(crate) fn is_done(trial: &Trial) -> bool {
    matches!(trial.state, TrialState::Complete | TrialState::Pruned)
}

/// The parameters of a trial as a user writes them, without the choice of the router.
pub(crate) fn parameters(trial: &Trial) -> Parameters {
    let params = trial.params.iter().filter(|(name, _)| *name != ROUTER);
    params.map(|(name, param)| (name.clone(), param.external())).collect()
}

/// The parameters as a user writes them.
pub(crate) fn external(params: &BTreeMap<String, Param>) -> Parameters {
    params.iter().map(|(name, param)| (name.clone(), param.external())).collect()
}

/// What a trial has cost and found, if `moe` has run it to its end.
pub(crate) fn found(trial: &Trial) -> Option<Found> {
    serde_json::from_value(trial.user_attrs.get(FOUND)?.clone()).ok()
}

/// The numbers of the trials that others repeat.
pub(crate) fn repeated(study: &Study) -> BTreeSet<usize> {
    let of = |trial: &Trial| trial.user_attrs.get(RETRY_OF)?.as_u64()?.try_into().ok();
    study.trials.iter().filter_map(of).collect()
}
