//! What a line of a journal does.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::journal::json::{self, Spaces, number};
use crate::journal::state::{Attributes, Direction, Param, TrialState};
use crate::journal::time::{self, Timestamp};

/// An operation on a study or a trial. Ids are not written: they are counted ([`State`](crate::journal::state::State)).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operation {
    /// Creates a study, unless there is one of that name.
    CreateStudy {
        /// The name.
        name: String,
        /// A direction for each objective.
        directions: Vec<Direction>,
    },
    /// Deletes a study.
    DeleteStudy {
        /// Id of the study.
        study: usize,
    },
    /// Sets an attribute of a study that is the user's.
    SetStudyUserAttr {
        /// Id of the study.
        study: usize,
        /// Name of the attribute.
        key: String,
        /// Its value.
        value: Value,
    },
    /// Sets an attribute of a study that belongs to Optuna, a sampler or a pruner.
    SetStudySystemAttr {
        /// Id of the study.
        study: usize,
        /// Name of the attribute.
        key: String,
        /// Its value.
        value: Value,
    },
    /// Creates a trial.
    CreateTrial {
        /// Id of the study.
        study: usize,
        /// What the trial holds from the beginning.
        trial: Box<NewTrial>,
    },
    /// Sets a parameter of a trial.
    SetTrialParam {
        /// Id of the trial.
        trial: usize,
        /// Name of the parameter.
        name: String,
        /// Its value and the distribution that it was drawn from.
        param: Param,
    },
    /// Sets the state of a trial, and its values.
    SetTrialState {
        /// Id of the trial.
        trial: usize,
        /// The state.
        state: TrialState,
        /// A value for each objective; `None` leaves them as they are.
        values: Option<Vec<f64>>,
        /// When the trial was started, or ended. `None` is the time of writing; a state of [`TrialState::Waiting`] has none.
        time: Option<Timestamp>,
    },
    /// Sets the value of the objective after a step.
    SetTrialIntermediate {
        /// Id of the trial.
        trial: usize,
        /// The step.
        step: i64,
        /// The value.
        value: f64,
    },
    /// Sets an attribute of a trial that is the user's.
    SetTrialUserAttr {
        /// Id of the trial.
        trial: usize,
        /// Name of the attribute.
        key: String,
        /// Its value.
        value: Value,
    },
    /// Sets an attribute of a trial that belongs to Optuna, a sampler or a pruner.
    SetTrialSystemAttr {
        /// Id of the trial.
        trial: usize,
        /// Name of the attribute.
        key: String,
        /// Its value.
        value: Value,
    },
}

/// What a trial holds from the beginning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewTrial {
    /// The state.
    pub(crate) state: TrialState,
    /// When it was started; `None` for a trial that waits.
    pub(crate) datetime_start: Option<Timestamp>,
    /// When it ended.
    pub(crate) datetime_complete: Option<Timestamp>,
    /// A value for each objective.
    pub(crate) values: Option<Vec<f64>>,
    /// The parameters by name.
    pub(crate) params: BTreeMap<String, Param>,
    /// The values of the objective by step.
    pub(crate) intermediate: BTreeMap<i64, f64>,
    /// The user's attributes.
    pub(crate) user_attrs: Attributes,
    /// Attributes that belong to Optuna, a sampler or a pruner.
    pub(crate) system_attrs: Attributes,
}

impl NewTrial {
    /// A trial that starts at the present time.
    pub(crate) fn running() -> Self {
        NewTrial {
            state: TrialState::Running,
            datetime_start: Some(time::now()),
            datetime_complete: None,
            values: None,
            params: BTreeMap::new(),
            intermediate: BTreeMap::new(),
            user_attrs: Attributes::new(),
            system_attrs: Attributes::new(),
        }
    }

    /// A trial that waits for a worker. Optuna takes the parameters of such a trial from its system attribute `fixed_params`,
    /// an object of external values.
    pub(crate) fn waiting() -> Self {
        NewTrial { state: TrialState::Waiting, datetime_start: None, ..NewTrial::running() }
    }
}

impl Operation {
    /// The line of the operation, with its line break.
    pub(crate) fn line(&self, worker: &str) -> String {
        let (code, fields) = self.fields();
        let mut all = vec![("op_code", json!(code)), ("worker_id", json!(worker))];
        all.extend(fields);
        let mut line = String::new();
        json::write_object(all.iter().map(|(key, value)| (*key, value)), Spaces::None, &mut line);
        line + "\n"
    }

    /// The code and the fields, in Optuna's order.
    fn fields(&self) -> (u8, Vec<(&'static str, Value)>) {
        let one = |key: &String, value: &Value| {
            Value::Object(Map::from_iter([(key.clone(), value.clone())]))
        };
        match self {
            Operation::CreateStudy { name, directions } => {
                let codes: Vec<u8> = directions.iter().map(|direction| *direction as u8).collect();
                (0, vec![("study_name", json!(name)), ("directions", json!(codes))])
            }
            Operation::DeleteStudy { study } => (1, vec![("study_id", json!(study))]),
            Operation::SetStudyUserAttr { study, key, value } => {
                (2, vec![("study_id", json!(study)), ("user_attr", one(key, value))])
            }
            Operation::SetStudySystemAttr { study, key, value } => {
                (3, vec![("study_id", json!(study)), ("system_attr", one(key, value))])
            }
            Operation::CreateTrial { study, trial } => {
                let mut fields = vec![("study_id", json!(study))];
                fields.extend(trial.fields());
                (4, fields)
            }
            Operation::SetTrialParam { trial, name, param } => (
                5,
                vec![
                    ("trial_id", json!(trial)),
                    ("param_name", json!(name)),
                    ("param_value_internal", param.distribution.internal_to_json(param.internal)),
                    ("distribution", json!(param.distribution.to_json())),
                ],
            ),
            Operation::SetTrialState { trial, state, values, time } => {
                let values = values.as_deref().map_or(Value::Null, numbers);
                let mut fields = vec![
                    ("trial_id", json!(trial)),
                    ("state", json!(*state as u8)),
                    ("values", values),
                ];
                let time = || json!(time::to_iso(&time.unwrap_or_else(time::now)));
                match state {
                    TrialState::Waiting => {}
                    TrialState::Running => fields.push(("datetime_start", time())),
                    _ => fields.push(("datetime_complete", time())),
                }
                (6, fields)
            }
            Operation::SetTrialIntermediate { trial, step, value } => (
                7,
                vec![
                    ("trial_id", json!(trial)),
                    ("step", json!(step)),
                    ("intermediate_value", number(*value)),
                ],
            ),
            Operation::SetTrialUserAttr { trial, key, value } => {
                (8, vec![("trial_id", json!(trial)), ("user_attr", one(key, value))])
            }
            Operation::SetTrialSystemAttr { trial, key, value } => {
                (9, vec![("trial_id", json!(trial)), ("system_attr", one(key, value))])
            }
        }
    }
}

fn numbers(values: &[f64]) -> Value {
    values.iter().map(|value| number(*value)).collect()
}

impl NewTrial {
    /// The fields beside the study's id: as Optuna writes them for a trial that it samples, or for a template.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        let start = self.datetime_start.as_ref().map(time::to_iso);
        let mut fields = vec![("datetime_start", json!(start))];
        let plain = NewTrial { datetime_start: self.datetime_start, ..NewTrial::running() };
        if *self == plain && self.datetime_start.is_some() {
            return fields;
        }
        let object = |of: fn(&Param) -> Value| -> Value {
            self.params.iter().map(|(name, param)| (name.clone(), of(param))).collect()
        };
        let (value, values) = match self.values.as_deref() {
            None => (Value::Null, Value::Null),
            Some([value]) => (number(*value), Value::Null),
            Some(values) => (Value::Null, numbers(values)),
        };
        fields.extend([("state", json!(self.state as u8)), ("value", value), ("values", values)]);
        // A reader expects a time in this field where there is one.
        let complete = self.datetime_complete.as_ref().map(|time| json!(time::to_iso(time)));
        fields.extend(complete.map(|time| ("datetime_complete", time)));
        let steps =
            self.intermediate.iter().map(|(step, value)| (step.to_string(), number(*value)));
        fields.extend([
            ("distributions", object(|param| json!(param.distribution.to_json()))),
            ("params", object(|param| param.distribution.internal_to_json(param.internal))),
            ("user_attrs", json!(self.user_attrs)),
            ("system_attrs", json!(self.system_attrs)),
            ("intermediate_values", steps.collect()),
        ]);
        fields
    }
}
