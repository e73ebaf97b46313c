//! Journals of Optuna are read as Optuna reads them, and Optuna reads those that are written here.

use std::sync::Arc;
use std::{env, fs};

use moe_core::random::chacha;
use serde_json::{Value, json};

use crate::journal::distribution::Distribution;
use crate::journal::error::JournalError;
use crate::journal::journal::Journal;
use crate::journal::json::number;
use crate::journal::operation::{NewTrial, Operation};
use crate::journal::state::{Direction, Param, TrialState};
use crate::journal::tests::common::{
    Place, any_operation, append, create_study, create_trial, describe, described_by_optuna,
    fixtures, python, rate, run_python, set_param, state, trials,
};
use crate::journal::time::{Timestamp, from_iso};

/// What Optuna said of a recorded journal.
fn recorded(name: &str) -> Value {
    serde_json::from_slice(&fs::read(fixtures().join(name)).unwrap()).unwrap()
}

#[test]
fn a_journal_of_optuna_is_read_as_optuna_reads_it() {
    let journal = Journal::open(fixtures().join("optuna.log")).unwrap();
    assert_eq!(describe(journal.state()), recorded("optuna.json"));
    let studies = &journal.state().studies;
    assert!(studies[1].is_deleted && studies[1].trials.len() == 1);
    assert_eq!(journal.state().trial(1).unwrap().number, 0, "the deleted study has trial 0");
    assert_eq!(journal.state().study("gone").unwrap().id, 2, "a name is free after a deletion");
}

/// Every line of Optuna's has the bytes that are written here for the same operation.
#[test]
fn lines_of_optuna_are_written_in_the_same_bytes() {
    use crate::journal::entry::{Distributions, Entry};
    let text = fs::read_to_string(fixtures().join("optuna.log")).unwrap();
    let mut equal = 0;
    for line in text.lines() {
        let entry = Entry::read(line, &mut Distributions::new()).unwrap();
        let Some(operation) = entry.operation else { continue };
        let written = operation.line(&entry.worker);
        let again = Entry::read(&written, &mut Distributions::new()).unwrap();
        // NaN differs from itself.
        assert_eq!(format!("{operation:?}"), format!("{:?}", again.operation.unwrap()));
        equal += usize::from(written.trim_end() == line);
    }
    // The keys of an attribute's value and the parameters of a template are sorted here, and in the recording some are not.
    let sorted = text.lines().count() - 4;
    assert!(equal >= sorted, "{equal} lines are equal, of {sorted}");
}

fn at(second: u32) -> Timestamp {
    from_iso(&format!("2026-01-31T12:00:{second:02}.000001+00:00")).unwrap()
}

/// Operations of all kinds.
fn all_operations() -> Vec<Operation> {
    let choices = vec![json!("top-k"), json!(2), json!(0.5), Value::Null, number(f64::NAN)];
    let router =
        Param { internal: 2.0, distribution: Arc::new(Distribution::Categorical { choices }) };
    let width = Distribution::Int { low: 1, high: 1024, log: true, step: 1 };
    let width = Param { internal: 64.0, distribution: Arc::new(width) };
    let drop = Distribution::Float { low: 0.0, high: 0.75, log: false, step: Some(0.25) };
    let drop = Param { internal: 0.25, distribution: Arc::new(drop) };
    let running = || NewTrial { datetime_start: Some(at(1)), ..NewTrial::running() };
    let mut waiting = NewTrial::waiting();
    waiting.system_attrs.insert("fixed_params".into(), json!({"rate": 1e-3, "router": "top-k"}));
    waiting.user_attrs.insert("moe.retry_of".into(), json!(0));
    let mut template = running();
    template.state = TrialState::Complete;
    template.datetime_complete = Some(at(2));
    template.values = Some(vec![f64::NEG_INFINITY]);
    template.params.insert("rate".into(), rate(1e-4));
    template.params.insert("router".into(), router.clone());
    template.intermediate.extend([(0, f64::NAN), (10, 1e-7)]);
    let end =
        |trial, state, values| Operation::SetTrialState { trial, state, values, time: Some(at(3)) };
    let user =
        |trial, key: &str, value| Operation::SetTrialUserAttr { trial, key: key.into(), value };
    let step = |step, value| Operation::SetTrialIntermediate { trial: 0, step, value };
    let two = vec![Direction::Maximize, Direction::NotSet];
    vec![
        create_study("moe tune é"),
        Operation::SetStudyUserAttr {
            study: 0,
            key: "configuration".into(),
            value: json!({"a": [1, "\n"]}),
        },
        Operation::SetStudySystemAttr { study: 0, key: "nan".into(), value: number(f64::NAN) },
        Operation::CreateStudy { name: "gone".into(), directions: two.clone() },
        Operation::DeleteStudy { study: 1 },
        Operation::CreateStudy { name: "gone".into(), directions: two },
        create_trial(0, running()),
        set_param(0, "rate", rate(5e-5)),
        set_param(0, "router", router),
        set_param(0, "width", width),
        set_param(0, "drop", drop),
        user(0, "moe.trial_seed", json!(u64::MAX)),
        user(0, "losses", json!([number(f64::INFINITY), 0.1, {"x": number(f64::NAN)}])),
        Operation::SetTrialSystemAttr { trial: 0, key: "pruner".into(), value: Value::Null },
        step(1, 1.5),
        step(2, f64::NAN),
        step(3, f64::INFINITY),
        end(0, TrialState::Complete, Some(vec![0.1])),
        create_trial(0, waiting.clone()),
        end(1, TrialState::Running, None),
        end(1, TrialState::Pruned, Some(vec![f64::INFINITY])),
        create_trial(0, waiting),
        create_trial(0, template),
        create_trial(2, running()),
        end(4, TrialState::Fail, None),
        create_trial(2, running()),
        end(5, TrialState::Complete, Some(vec![1.0, -2.5])),
    ]
}

#[test]
fn what_is_written_here_is_what_optuna_accepted() {
    let place = Place::new();
    let mut journal = Journal::open(place.log()).unwrap();
    journal.call("moe-worker");
    append(&mut journal, all_operations()).unwrap();
    if env::var_os("MOE_RECORD").is_some() {
        fs::copy(place.log(), fixtures().join("moe.log")).unwrap();
    }
    assert_eq!(describe(journal.state()), recorded("moe.json"));
    let written = fs::read_to_string(place.log()).unwrap();
    assert_eq!(written, fs::read_to_string(fixtures().join("moe.log")).unwrap());
    if let Some(python) = python() {
        assert_eq!(described_by_optuna(python, &place.log()), recorded("moe.json"));
    }
}

#[test]
fn any_operations_have_the_effect_that_they_have_in_optuna() {
    for trial in 0..trials(4) {
        let place = Place::new();
        let mut rng = chacha(trial, "tests.journal", 0);
        let mut journal = Journal::open(place.log()).unwrap();
        let mut other = Journal::open(place.log()).unwrap();
        append(&mut journal, [create_study("study 0")]).unwrap();
        let mut ignored = 0;
        for _ in 0..60 {
            let count = rand_count(&mut rng);
            let operations: Vec<Operation> = (0..count).map(|_| any_operation(&mut rng)).collect();
            match append(&mut journal, operations) {
                Err(JournalError::NoEffect { .. }) => ignored += 1,
                result => result.unwrap(),
            }
        }
        assert!(ignored > 5, "{ignored}");
        other.sync().unwrap();
        let described = describe(journal.state());
        assert_eq!(describe(other.state()), described);
        assert_eq!(describe(Journal::open(place.log()).unwrap().state()), described);
        if let Some(python) = python() {
            assert_eq!(described_by_optuna(python, &place.log()), described, "trial {trial}");
        }
    }
}

fn rand_count(rng: &mut impl moe_core::rand::Rng) -> usize {
    rng.random_range(1..6)
}

/// Optuna and this crate take turns on one study: each continues what the other one has left.
#[test]
fn a_journal_of_optuna_is_continued() {
    let place = Place::new();
    fs::copy(fixtures().join("optuna.log"), place.log()).unwrap();
    let mut journal = Journal::open(place.log()).unwrap();
    let waits = journal.state().study("gone").unwrap().trials.iter();
    let waiting = waits.clone().find(|trial| trial.state == TrialState::Waiting).unwrap().id;
    let new = journal.state().next_trial_id();
    append(
        &mut journal,
        [
            state(waiting, TrialState::Running, None),
            create_trial(0, NewTrial::running()),
            set_param(new, "rate", rate(1e-3)),
            state(new, TrialState::Complete, Some(vec![-2.0])),
            state(waiting, TrialState::Complete, Some(vec![1.0, 2.0])),
        ],
    )
    .unwrap();
    let trial = journal.state().trial(new).unwrap();
    assert_eq!((trial.number, trial.worker.as_str()), (9, journal.worker()));
    assert_eq!(journal.state().trial(waiting).unwrap().worker, journal.worker());
    let Some(python) = python() else { return };
    let script = "
import optuna, sys
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.load_study(study_name='moe é', storage=JournalStorage(JournalFileBackend(sys.argv[1])))
study.optimize(lambda trial: trial.suggest_float('rate', 5e-5, 5e-3, log=True) - 3, n_trials=2)
print(study.best_trial.number, study.trials[9].value, study.trials[9].params)
";
    let log = place.log();
    let printed = run_python(python, &["-W", "ignore", "-c", script, log.to_str().unwrap()]);
    let printed = printed.unwrap();
    assert!(printed.ends_with("-2.0 {'rate': 0.001}\n"), "{printed}");
    journal.sync().unwrap();
    assert_eq!(journal.state().studies[0].trials.len(), 12);
    assert_eq!(describe(journal.state()), described_by_optuna(python, &log));
}
