//! The effect of each operation, as Optuna 5.0's own reader has it (`JournalStorageReplayResult`).
//!
//! All readers apply the same lines in the same order, so they agree without talking to each other: the first line that
//! claims something wins, and those that come too late have no effect. Studies and trials are counted: an id is the number
//! of lines before it that created one.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::journal::operation::{NewTrial, Operation};
use crate::journal::state::{Param, State, Study, Trial, TrialState};

impl State {
    /// Applies an operation that `worker` wrote.
    ///
    /// # Errors
    /// If the operation has no effect: says why. Readers go on then; Optuna raises this in the worker that wrote the line.
    pub(super) fn apply(&mut self, worker: &str, operation: Operation) -> Result<(), String> {
        match operation {
            Operation::CreateStudy { name, directions } => {
                if self.study(&name).is_some() {
                    return Err(format!("there is a study {name:?} already"));
                }
                self.studies.push(Study {
                    id: self.studies.len(),
                    name,
                    directions,
                    user_attrs: Default::default(),
                    system_attrs: Default::default(),
                    trials: Vec::new(),
                    is_deleted: false,
                    first: Default::default(),
                });
            }
            Operation::DeleteStudy { study } => self.live_study(study)?.is_deleted = true,
            Operation::SetStudyUserAttr { study, key, value } => {
                self.live_study(study)?.user_attrs.insert(key, value);
            }
            Operation::SetStudySystemAttr { study, key, value } => {
                self.live_study(study)?.system_attrs.insert(key, value);
            }
            Operation::CreateTrial { study, trial } => {
                let id = self.places.len();
                let number = self.live_study(study)?.create_trial(id, worker, *trial);
                self.places.push((study, number));
            }
            Operation::SetTrialParam { trial, name, param } => {
                let (study, number) = self.unfinished(trial)?;
                return study.set_param(number, name, param);
            }
            Operation::SetTrialState { trial, state, values, time } => {
                let trial = self.unfinished_trial(trial)?;
                if state == TrialState::Running && trial.state == state {
                    return Err(format!("trial {} is running already", trial.number));
                }
                if state == TrialState::Running {
                    trial.datetime_start = time;
                    trial.worker = worker.into();
                }
                if state.is_finished() {
                    trial.datetime_complete = time;
                }
                trial.state = state;
                trial.values = values.or(trial.values.take());
            }
            Operation::SetTrialIntermediate { trial, step, value } => {
                self.unfinished_trial(trial)?.intermediate.insert(step, value);
            }
            Operation::SetTrialUserAttr { trial, key, value } => {
                self.unfinished_trial(trial)?.user_attrs.insert(key, value);
            }
            Operation::SetTrialSystemAttr { trial, key, value } => {
                self.unfinished_trial(trial)?.system_attrs.insert(key, value);
            }
        }
        Ok(())
    }

    /// A study that is not deleted.
    fn live_study(&mut self, id: usize) -> Result<&mut Study, String> {
        let study = self.studies.get_mut(id).filter(|study| !study.is_deleted);
        study.ok_or_else(|| format!("there is no study of the id {id}"))
    }

    /// The study of a trial that has not ended, and the trial's number. Trials of a deleted study can still change.
    fn unfinished(&mut self, id: usize) -> Result<(&mut Study, usize), String> {
        let place = self.places.get(id);
        let (study, number) = *place.ok_or_else(|| format!("there is no trial of the id {id}"))?;
        let study = &mut self.studies[study];
        if study.trials[number].state.is_finished() {
            return Err(format!("trial {number} of the study {:?} has ended", study.name));
        }
        Ok((study, number))
    }

    fn unfinished_trial(&mut self, id: usize) -> Result<&mut Trial, String> {
        self.unfinished(id).map(|(study, number)| &mut study.trials[number])
    }
}

impl Study {
    /// Adds a trial and returns its number. The distributions of a template are not compared with those of other trials.
    fn create_trial(&mut self, id: usize, worker: &str, trial: NewTrial) -> usize {
        let number = self.trials.len();
        for (name, param) in &trial.params {
            if !self.first.contains_key(name) {
                self.first.insert(name.clone(), (number, Arc::clone(&param.distribution)));
            }
        }
        self.trials.push(Trial {
            id,
            number,
            worker: worker.into(),
            state: trial.state,
            params: trial.params,
            values: trial.values,
            intermediate: trial.intermediate,
            user_attrs: trial.user_attrs,
            system_attrs: trial.system_attrs,
            datetime_start: trial.datetime_start,
            datetime_complete: trial.datetime_complete,
        });
        number
    }

    /// Sets a parameter, unless the first trial that has it, by number, has another kind of distribution for it.
    fn set_param(&mut self, number: usize, name: String, param: Param) -> Result<(), String> {
        match self.first.entry(name.clone()) {
            Entry::Vacant(entry) => {
                entry.insert((number, Arc::clone(&param.distribution)));
            }
            Entry::Occupied(mut entry) => {
                let (first, distribution) = entry.get();
                if !distribution.is_compatible(&param.distribution) {
                    return Err(format!(
                        "the parameter {name} has the distribution {} here, and {} in trial {first}; only ranges may differ",
                        param.distribution.to_json(),
                        distribution.to_json()
                    ));
                }
                if number <= *first {
                    entry.insert((number, Arc::clone(&param.distribution)));
                }
            }
        }
        self.trials[number].params.insert(name, param);
        Ok(())
    }
}
