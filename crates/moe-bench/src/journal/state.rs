//! What a journal says: studies and trials.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::journal::distribution::Distribution;
use crate::journal::time::Timestamp;

/// Attributes by name. A number that is not finite is as [`number`](crate::journal::json::number) makes it.
pub(crate) type Attributes = Map<String, Value>;

/// Whether an objective is made small or large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Not said.
    NotSet = 0,
    /// The smallest value is the best.
    Minimize = 1,
    /// The largest value is the best.
    Maximize = 2,
}

impl Direction {
    pub(super) fn of_code(code: u64) -> Option<Self> {
        [Direction::NotSet, Direction::Minimize, Direction::Maximize]
            .into_iter()
            .find(|direction| *direction as u64 == code)
    }
}

/// The state of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrialState {
    /// A worker runs it.
    Running = 0,
    /// It ended with its values.
    Complete = 1,
    /// It was stopped, since it did not promise enough.
    Pruned = 2,
    /// It ended without values.
    Fail = 3,
    /// It waits for a worker.
    Waiting = 4,
}

impl TrialState {
    pub(super) fn of_code(code: u64) -> Option<Self> {
        use TrialState::{Complete, Fail, Pruned, Running, Waiting};
        [Running, Complete, Pruned, Fail, Waiting].into_iter().find(|state| *state as u64 == code)
    }

    /// Whether the trial has ended: nothing of it changes any more.
    pub(crate) fn is_finished(self) -> bool {
        !matches!(self, TrialState::Running | TrialState::Waiting)
    }
}

/// A parameter of a trial.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Param {
    /// The internal value.
    pub(crate) internal: f64,
    /// The distribution that it was drawn from.
    pub(crate) distribution: Arc<Distribution>,
}

impl Param {
    /// The external value.
    pub(crate) fn external(&self) -> Value {
        self.distribution.to_external(self.internal)
    }
}

/// A trial.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trial {
    /// Its number among the trials of all studies.
    pub(crate) id: usize,
    /// Its number in its study.
    pub(crate) number: usize,
    /// The worker that runs it: the one that created it or, where it waited, the one that started it.
    pub(crate) worker: String,
    /// The state.
    pub(crate) state: TrialState,
    /// The parameters by name.
    pub(crate) params: BTreeMap<String, Param>,
    /// A value for each objective.
    pub(crate) values: Option<Vec<f64>>,
    /// The values of the objective by step.
    pub(crate) intermediate: BTreeMap<i64, f64>,
    /// The user's attributes.
    pub(crate) user_attrs: Attributes,
    /// Attributes that belong to Optuna, a sampler or a pruner.
    pub(crate) system_attrs: Attributes,
    /// When it was started.
    pub(crate) datetime_start: Option<Timestamp>,
    /// When it ended.
    pub(crate) datetime_complete: Option<Timestamp>,
}

/// A study.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Study {
    /// Its number in the journal.
    pub(crate) id: usize,
    /// The name. No other study that is not deleted has it.
    pub(crate) name: String,
    /// A direction for each objective.
    pub(crate) directions: Vec<Direction>,
    /// The user's attributes.
    pub(crate) user_attrs: Attributes,
    /// Attributes that belong to Optuna, a sampler or a pruner.
    pub(crate) system_attrs: Attributes,
    /// The trials, by number.
    pub(crate) trials: Vec<Trial>,
    /// Whether it was deleted.
    pub(crate) is_deleted: bool,
    /// Of each parameter, the first trial that has it and the distribution there.
    pub(super) first: BTreeMap<String, (usize, Arc<Distribution>)>,
}

/// All that a journal says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// The studies, by id, also those that were deleted.
    pub(crate) studies: Vec<Study>,
    /// Of each trial the id of its study and its number there.
    pub(super) places: Vec<(usize, usize)>,
}

impl State {
    /// The study of that name that is not deleted.
    pub(crate) fn study(&self, name: &str) -> Option<&Study> {
        self.studies.iter().find(|study| !study.is_deleted && study.name == name)
    }

    /// The trial of that id.
    #[cfg(test)]
    pub(super) fn trial(&self, id: usize) -> Option<&Trial> {
        let (study, number) = *self.places.get(id)?;
        Some(&self.studies[study].trials[number])
    }

    /// The id that the next study to be created will have.
    pub(crate) fn next_study_id(&self) -> usize {
        self.studies.len()
    }

    /// The id that the next trial to be created will have. Inside a transaction, where nobody else creates one, further
    /// operations of the transaction may use it.
    pub(crate) fn next_trial_id(&self) -> usize {
        self.places.len()
    }
}
