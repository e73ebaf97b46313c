//! A line of a journal, and how it is read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::journal::distribution::Distribution;
use crate::journal::json::{self, Real};
use crate::journal::operation::{NewTrial, Operation};
use crate::journal::state::{Attributes, Direction, Param, TrialState};
use crate::journal::time::{self, Timestamp};

/// The last code of Optuna 5.0. It is an operation of Rustuna (`DISCARD_TRIALS`), which Optuna passes over.
const LAST_CODE: u64 = 10;

/// A line of a journal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// The worker that wrote it.
    pub(crate) worker: String,
    /// The operation; `None` for one that readers pass over.
    pub(crate) operation: Option<Operation>,
}

/// The distributions that were read, each once.
pub(crate) type Distributions = HashMap<String, Arc<Distribution>>;

/// The fields of all operations.
#[derive(Deserialize)]
struct Fields {
    op_code: u64,
    worker_id: String,
    study_name: Option<String>,
    directions: Option<Vec<u64>>,
    study_id: Option<usize>,
    trial_id: Option<usize>,
    user_attr: Option<Attributes>,
    system_attr: Option<Attributes>,
    datetime_start: Option<String>,
    datetime_complete: Option<String>,
    state: Option<u64>,
    value: Option<Real>,
    values: Option<Vec<Real>>,
    distributions: Option<BTreeMap<String, String>>,
    params: Option<BTreeMap<String, Real>>,
    user_attrs: Option<Attributes>,
    system_attrs: Option<Attributes>,
    intermediate_values: Option<BTreeMap<i64, Real>>,
    param_name: Option<String>,
    param_value_internal: Option<Real>,
    distribution: Option<String>,
    step: Option<i64>,
    intermediate_value: Option<Real>,
}

/// The fields of every line, also of an operation that is unknown.
#[derive(Deserialize)]
struct Head {
    op_code: u64,
    worker_id: String,
}

impl Entry {
    /// Reads a line that is JSON.
    ///
    /// # Errors
    /// If it is not an operation of Optuna 5.0's format: says what is wrong. Optuna ends at an unknown operation too: whoever
    /// passes over one that creates trials counts other ids than its writer.
    pub(crate) fn read(line: &str, distributions: &mut Distributions) -> Result<Entry, String> {
        let fields: Fields = match json::parse(line) {
            Ok(fields) => fields,
            Err(error) => {
                let head = json::parse::<Head>(line);
                return match head {
                    Ok(head) if head.op_code >= LAST_CODE => Entry::unread(head),
                    // A line of the journal is a text of its own for serde_json.
                    _ => Err(error.to_string().replace(" at line 1 column", ", column")),
                };
            }
        };
        if fields.op_code >= LAST_CODE {
            return Entry::unread(Head { op_code: fields.op_code, worker_id: fields.worker_id });
        }
        let worker = fields.worker_id.clone();
        Ok(Entry { worker, operation: Some(fields.operation(distributions)?) })
    }

    fn unread(head: Head) -> Result<Entry, String> {
        match head.op_code {
            LAST_CODE => Ok(Entry { worker: head.worker_id, operation: None }),
            code => Err(format!(
                "operation {code} is unknown; the journal was written by a version newer than Optuna 5.0, whose operations \
                 are 0 to {LAST_CODE}"
            )),
        }
    }
}

/// A field that an operation needs.
fn needed<T>(field: Option<T>, name: &str) -> Result<T, String> {
    field.ok_or_else(|| format!("the field `{name}` is missing"))
}

fn time_of(field: Option<String>, name: &str) -> Result<Option<Timestamp>, String> {
    let read = |text: String| {
        time::from_iso(&text).ok_or_else(|| format!("`{name}` is {text:?}, not a time in ISO 8601"))
    };
    field.map(read).transpose()
}

fn distribution(text: String, read: &mut Distributions) -> Result<Arc<Distribution>, String> {
    if let Some(distribution) = read.get(&text) {
        return Ok(Arc::clone(distribution));
    }
    let distribution = Arc::new(Distribution::from_json(&text)?);
    read.insert(text, Arc::clone(&distribution));
    Ok(distribution)
}

fn param(name: &str, internal: Real, distribution: Arc<Distribution>) -> Result<Param, String> {
    let Real(internal) = internal;
    if !distribution.has_external(internal) {
        return Err(format!("{internal} is not a value of the parameter {name}"));
    }
    Ok(Param { internal, distribution })
}

/// The only field of an attribute.
fn attribute(field: Option<Attributes>, name: &str) -> Result<(String, Value), String> {
    let mut fields = needed(field, name)?.into_iter();
    match (fields.next(), fields.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(format!("`{name}` does not have exactly one key")),
    }
}

fn state(code: u64) -> Result<TrialState, String> {
    TrialState::of_code(code)
        .ok_or_else(|| format!("the state {code} is unknown; known are 0 to 4"))
}

fn floats(reals: Vec<Real>) -> Vec<f64> {
    reals.into_iter().map(|Real(value)| value).collect()
}

impl Fields {
    fn operation(self, read: &mut Distributions) -> Result<Operation, String> {
        let study = || needed(self.study_id, "study_id");
        let trial = || needed(self.trial_id, "trial_id");
        Ok(match self.op_code {
            0 => {
                let direction = |code: &u64| {
                    Direction::of_code(*code)
                        .ok_or_else(|| format!("the direction {code} is unknown; known are 0 to 2"))
                };
                let directions = needed(self.directions, "directions")?;
                Operation::CreateStudy {
                    name: needed(self.study_name, "study_name")?,
                    directions: directions.iter().map(direction).collect::<Result<_, _>>()?,
                }
            }
            1 => Operation::DeleteStudy { study: study()? },
            2 => {
                let (study, (key, value)) = (study()?, attribute(self.user_attr, "user_attr")?);
                Operation::SetStudyUserAttr { study, key, value }
            }
            3 => {
                let (study, (key, value)) = (study()?, attribute(self.system_attr, "system_attr")?);
                Operation::SetStudySystemAttr { study, key, value }
            }
            4 => Operation::CreateTrial { study: study()?, trial: Box::new(self.new_trial(read)?) },
            5 => {
                let trial = trial()?;
                let name = needed(self.param_name, "param_name")?;
                let distribution = distribution(needed(self.distribution, "distribution")?, read)?;
                let internal = needed(self.param_value_internal, "param_value_internal")?;
                let param = param(&name, internal, distribution)?;
                Operation::SetTrialParam { trial, name, param }
            }
            6 => {
                let (trial, state) = (trial()?, state(needed(self.state, "state")?)?);
                let time = match state {
                    TrialState::Waiting => None,
                    TrialState::Running => {
                        let text = needed(self.datetime_start, "datetime_start")?;
                        time_of(Some(text), "datetime_start")?
                    }
                    _ => {
                        let text = needed(self.datetime_complete, "datetime_complete")?;
                        time_of(Some(text), "datetime_complete")?
                    }
                };
                Operation::SetTrialState { trial, state, values: self.values.map(floats), time }
            }
            7 => {
                let Real(value) = needed(self.intermediate_value, "intermediate_value")?;
                let step = needed(self.step, "step")?;
                Operation::SetTrialIntermediate { trial: trial()?, step, value }
            }
            8 => {
                let (trial, (key, value)) = (trial()?, attribute(self.user_attr, "user_attr")?);
                Operation::SetTrialUserAttr { trial, key, value }
            }
            _ => {
                let (trial, (key, value)) = (trial()?, attribute(self.system_attr, "system_attr")?);
                Operation::SetTrialSystemAttr { trial, key, value }
            }
        })
    }

    fn new_trial(self, read: &mut Distributions) -> Result<NewTrial, String> {
        let mut texts = self.distributions.unwrap_or_default();
        let mut params = BTreeMap::new();
        for (name, internal) in self.params.unwrap_or_default() {
            let text = texts.remove(&name);
            let text = text.ok_or_else(|| format!("the parameter {name} has no distribution"))?;
            let param = param(&name, internal, distribution(text, read)?)?;
            params.insert(name, param);
        }
        let values = match (self.value, self.values) {
            (Some(_), Some(_)) => return Err("both `value` and `values` are given".into()),
            (Some(Real(value)), None) => Some(vec![value]),
            (None, values) => values.map(floats),
        };
        let steps = self.intermediate_values.unwrap_or_default().into_iter();
        Ok(NewTrial {
            state: self.state.map_or(Ok(TrialState::Running), state)?,
            datetime_start: time_of(self.datetime_start, "datetime_start")?,
            datetime_complete: time_of(self.datetime_complete, "datetime_complete")?,
            values,
            params,
            intermediate: steps.map(|(step, Real(value))| (step, value)).collect(),
            user_attrs: self.user_attrs.unwrap_or_default(),
            system_attrs: self.system_attrs.unwrap_or_default(),
        })
    }
}
