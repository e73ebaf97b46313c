//! A folder for a journal, operations of all kinds, and what Optuna says of a journal.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::{env, fs};

use moe_core::rand::Rng;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::journal::distribution::Distribution;
use crate::journal::error::JournalError;
use crate::journal::journal::Journal;
use crate::journal::json::{as_number, number};
use crate::journal::operation::{NewTrial, Operation};
use crate::journal::state::{Attributes, Direction, Param, State, Study, Trial, TrialState};
use crate::journal::time;

/// A folder of its own for a journal.
pub(super) struct Place(TempDir);

impl Place {
    pub(super) fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.path().join("study.log")
    }

    /// The names of the files.
    pub(super) fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Number of trials of a test: `MOE_TRIALS`, or a few.
pub(super) fn trials(few: u64) -> u64 {
    env::var("MOE_TRIALS").map_or(few, |count| count.parse().expect("MOE_TRIALS is a number"))
}

/// The folder of the recorded journals.
pub(super) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/optuna")
}

/// The transaction of these operations.
pub(super) fn append(
    journal: &mut Journal,
    operations: impl IntoIterator<Item = Operation>,
) -> Result<(), JournalError> {
    journal.transaction(|_| Ok((operations.into_iter().collect(), ())))
}

/// A journal with an empty study and `trials` complete trials.
pub(super) fn with_trials(path: &Path, trials: usize) -> Journal {
    let mut journal = Journal::open(path).unwrap();
    append(&mut journal, [create_study("moe")]).unwrap();
    for id in 0..trials {
        append(&mut journal, complete_trial(id)).unwrap();
    }
    journal
}

pub(super) fn create_study(name: &str) -> Operation {
    Operation::CreateStudy { name: name.into(), directions: vec![Direction::Minimize] }
}

pub(super) fn create_trial(study: usize, trial: NewTrial) -> Operation {
    Operation::CreateTrial { study, trial: Box::new(trial) }
}

pub(super) fn state(trial: usize, state: TrialState, values: Option<Vec<f64>>) -> Operation {
    Operation::SetTrialState { trial, state, values, time: Some(time::now()) }
}

pub(super) fn rate(internal: f64) -> Param {
    let distribution = Distribution::Float { low: 5e-5, high: 5e-3, log: true, step: None };
    Param { internal, distribution: Arc::new(distribution) }
}

pub(super) fn set_param(trial: usize, name: &str, param: Param) -> Operation {
    Operation::SetTrialParam { trial, name: name.into(), param }
}

/// A trial of study 0 from its creation to its end.
pub(super) fn complete_trial(id: usize) -> Vec<Operation> {
    let seed = || json!(id);
    vec![
        create_trial(0, NewTrial::running()),
        set_param(id, "rate", rate(1e-4 + id as f64 * 1e-6)),
        Operation::SetTrialUserAttr { trial: id, key: "moe.trial_seed".into(), value: seed() },
        Operation::SetTrialIntermediate { trial: id, step: 1, value: 1.0 / (1.0 + id as f64) },
        state(id, TrialState::Complete, Some(vec![id as f64])),
    ]
}

/// Optuna's words for what a journal says, in the form of `describe.py`.
pub(super) fn describe(state: &State) -> Value {
    state.studies.iter().filter(|study| !study.is_deleted).map(describe_study).collect()
}

fn describe_study(study: &Study) -> Value {
    let directions = study.directions.iter().map(|direction| match direction {
        Direction::NotSet => "NOT_SET",
        Direction::Minimize => "MINIMIZE",
        Direction::Maximize => "MAXIMIZE",
    });
    json!({
        "id": study.id,
        "name": study.name,
        "directions": directions.collect::<Vec<_>>(),
        "user_attrs": plain_all(&study.user_attrs),
        "system_attrs": plain_all(&study.system_attrs),
        "trials": study.trials.iter().map(describe_trial).collect::<Vec<_>>(),
    })
}

fn describe_trial(trial: &Trial) -> Value {
    let real = |value: &f64| plain(&number(*value));
    let params: BTreeMap<&String, Value> =
        trial.params.iter().map(|(name, param)| (name, plain(&param.external()))).collect();
    let distributions: BTreeMap<&String, String> =
        trial.params.iter().map(|(name, param)| (name, param.distribution.to_json())).collect();
    let intermediate: Map<String, Value> =
        trial.intermediate.iter().map(|(step, value)| (step.to_string(), real(value))).collect();
    json!({
        "id": trial.id,
        "number": trial.number,
        "state": format!("{:?}", trial.state).to_uppercase(),
        "values": trial.values.as_ref().map(|values| values.iter().map(real).collect::<Vec<_>>()),
        "params": params,
        "distributions": distributions,
        "intermediate": intermediate,
        "user_attrs": plain_all(&trial.user_attrs),
        "system_attrs": plain_all(&trial.system_attrs),
        "start": trial.datetime_start.map(|time| time.timestamp_micros()),
        "complete": trial.datetime_complete.map(|time| time.timestamp_micros()),
    })
}

fn plain(value: &Value) -> Value {
    match value {
        Value::String(_) => match as_number(value) {
            Some(number) => json!({"not finite": number.to_string().to_lowercase()}),
            None => value.clone(),
        },
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Object(fields) => plain_all(fields),
        value => value.clone(),
    }
}

fn plain_all(fields: &Attributes) -> Value {
    fields.iter().map(|(key, value)| (key.clone(), plain(value))).collect()
}

/// A Python that has Optuna: `MOE_PYTHON`, or `python3`. Says so on stderr if there is none.
pub(super) fn python() -> Option<&'static str> {
    static PYTHON: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let python = env::var("MOE_PYTHON").unwrap_or_else(|_| "python3".into());
        let import = Command::new(&python).args(["-c", "import optuna"]).output();
        import.is_ok_and(|ran| ran.status.success()).then_some(python)
    };
    let python = PYTHON.get_or_init(find).as_deref();
    if python.is_none() {
        say("skipped, as neither MOE_PYTHON nor python3 is a Python that has optuna");
    }
    python
}

/// Writes a line to stderr.
pub(super) fn say(line: impl Display) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Runs a script of Python and returns what it prints.
pub(super) fn run_python(python: &str, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(python);
    let ran = command.env("PYTHONDONTWRITEBYTECODE", "1").args(args).output().unwrap();
    match ran.status.success() {
        true => Ok(String::from_utf8(ran.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&ran.stderr).into()),
    }
}

/// What Optuna says of a journal.
pub(super) fn described_by_optuna(python: &str, journal: &Path) -> Value {
    let script = fixtures().join("describe.py");
    let args = [script.to_str().unwrap(), journal.to_str().unwrap()];
    serde_json::from_str(&run_python(python, &args).unwrap()).unwrap()
}

/// An operation that may have an effect or not: on one of a few studies, trials and parameters.
pub(super) fn any_operation(rng: &mut impl Rng) -> Operation {
    let (study, trial) = (rng.random_range(0..3), rng.random_range(0..12));
    let key = || ["a", "b"][study % 2].to_string();
    let values = [0.5, f64::NAN, f64::INFINITY, -1e-7, 1e22, 3.0];
    let value = values[rng.random_range(0..values.len())];
    let attr = || json!({"x": [number(value), null_or(study), "é\u{1f600}\"\\"]});
    let param = any_param(rng);
    let name = ["p", "q", "r"][rng.random_range(0..3)].to_string();
    let states = [
        TrialState::Running,
        TrialState::Waiting,
        TrialState::Complete,
        TrialState::Pruned,
        TrialState::Fail,
    ];
    let to = states[rng.random_range(0..states.len())];
    match rng.random_range(0..40) {
        0 => Operation::CreateStudy {
            name: format!("study {study}"),
            directions: vec![Direction::Maximize, Direction::Minimize],
        },
        1 if rng.random_bool(0.2) => Operation::DeleteStudy { study },
        1 | 2 => Operation::SetStudyUserAttr { study, key: key(), value: attr() },
        3 => Operation::SetStudySystemAttr { study, key: key(), value: attr() },
        4..8 => create_trial(study, NewTrial::running()),
        8 => create_trial(study, NewTrial::waiting()),
        9 => {
            let mut template = NewTrial::running();
            template.values = Some(vec![value.abs().min(9.0); 1 + study % 2]);
            template.state = TrialState::Complete;
            template.datetime_complete = Some(time::now());
            template.params.insert(name, param);
            template.intermediate.insert(trial as i64, value);
            template.user_attrs.insert(key(), attr());
            create_trial(study, template)
        }
        10..20 => set_param(trial, &name, param),
        20..26 => Operation::SetTrialIntermediate { trial, step: study as i64, value },
        26..32 => Operation::SetTrialUserAttr { trial, key: key(), value: attr() },
        32..35 => Operation::SetTrialSystemAttr { trial, key: key(), value: attr() },
        35 if to.is_finished() => state(trial, to, Some(vec![value, 1.0])),
        35 | 36 => state(trial, to, None),
        _ => state(trial, TrialState::Running, None),
    }
}

fn null_or(number: usize) -> Value {
    if number == 0 { Value::Null } else { json!(number) }
}

fn any_param(rng: &mut impl Rng) -> Param {
    let log = rng.random_bool(0.2);
    let choices = vec![json!("a"), json!(rng.random_range(0..2)), number(f64::NAN)];
    let (distribution, internal) = match rng.random_range(0..4) {
        0 => (Distribution::Int { low: 1, high: 4, log, step: 1 }, 2.0),
        1 => (Distribution::Categorical { choices }, 2.0),
        2 if !log => (Distribution::Float { low: 0.0, high: 1.0, log, step: Some(0.25) }, 0.5),
        _ => (Distribution::Float { low: 1e-5, high: 1.0, log, step: None }, rng.random()),
    };
    Param { internal, distribution: Arc::new(distribution) }
}
