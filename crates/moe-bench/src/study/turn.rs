//! Whose turn it is: the router of the next trial.

use serde_json::Value as Json;

use crate::config::tune::TuneConfig;
use crate::journal::state::{Study, Trial};
use crate::study::space::Space;
use crate::study::trial::{self, INDEX, RETRY_OF};

/// The next trial of a study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) router: String,
    /// Its number among the trials that `moe` begins by itself, across the routers.
    pub(crate) index: u64,
}

/// The next trial of the router that has the fewest, among those whose budget is not used up.
///
/// A trial begins where it would also begin if trials ran one after the other: a budget of epochs ends with the same trials
/// for any number of processes.
pub(crate) fn next(study: &Study, space: &Space, tune: &TuneConfig) -> Option<Turn> {
    let routers = space.routers();
    let begun = begun(study, routers.len());
    let has_budget = |router: usize| {
        let used = || epochs(study, space, &routers[router]);
        begun[router] < tune.trials as u64 && tune.epochs.is_none_or(|most| used() < most)
    };
    let least = (0..routers.len()).filter(|&router| has_budget(router));
    least.min_by_key(|&router| begun[router]).map(|router| turn(routers, &begun, router))
}

/// The next trial of the router that has the fewest, for a trial that another program has queued: budgets do not count.
pub(crate) fn fewest(study: &Study, space: &Space) -> Turn {
    let routers = space.routers();
    let begun = begun(study, routers.len());
    let least = (0..routers.len()).min_by_key(|&router| begun[router]);
    turn(routers, &begun, least.expect("a study has routers"))
}

fn turn(routers: &[String], begun: &[u64], router: usize) -> Turn {
    let index = begun[router] * routers.len() as u64 + router as u64;
    Turn { router: routers[router].clone(), index }
}

/// Number of trials of each router that `moe` has begun by itself.
fn begun(study: &Study, routers: usize) -> Vec<u64> {
    let mut counts = vec![0; routers];
    for trial in &study.trials {
        let is_repeated = trial.user_attrs.contains_key(RETRY_OF);
        let index = trial.user_attrs.get(INDEX).and_then(Json::as_u64);
        if let Some(index) = index.filter(|_| !is_repeated) {
            counts[index as usize % routers] += 1;
        }
    }
    counts
}

/// Number of epochs of a router's trials: those that it has had of one that has ended, all that it may have of another one.
fn epochs(study: &Study, space: &Space, router: &str) -> u64 {
    let of_trial = |trial: &Trial| {
        if trial.state.is_finished() {
            return trial::found(trial).map_or(0, |found| found.epochs);
        }
        let config = space.trial(router, &trial::parameters(trial), 0);
        config.map_or(space.config().train.epochs, |config| config.train.epochs) as u64
    };
    let of_router = |trial: &&Trial| trial::router(trial).as_deref() == Some(router);
    study.trials.iter().filter(of_router).map(of_trial).sum()
}
