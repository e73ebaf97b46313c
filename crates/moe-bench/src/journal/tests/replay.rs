//! The effect of operations, one by one, and those that have none.

use std::sync::Arc;

use crate::journal::distribution::Distribution;
use crate::journal::error::JournalError;
use crate::journal::journal::Journal;
use crate::journal::operation::{NewTrial, Operation};
use crate::journal::state::{Param, TrialState};
use crate::journal::tests::common::{
    Place, append, complete_trial, create_study, create_trial, rate, set_param, state,
};

/// The problem of an operation without effect.
fn no_effect(journal: &mut Journal, operation: Operation) -> String {
    let before = journal.state().clone();
    match append(journal, [operation]) {
        Err(JournalError::NoEffect { problem, .. }) => {
            assert_eq!(*journal.state(), before);
            problem
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn ids_are_counted_over_all_studies_and_numbers_in_each() {
    let place = Place::new();
    let mut journal = Journal::open(place.log()).unwrap();
    append(&mut journal, [create_study("a"), create_study("b")]).unwrap();
    let trial = |study| create_trial(study, NewTrial::running());
    append(&mut journal, [trial(0), trial(1), trial(1), trial(0)]).unwrap();
    let numbers: Vec<(usize, usize)> = (0..4)
        .map(|id| journal.state().trial(id).unwrap())
        .map(|trial| (trial.id, trial.number))
        .collect();
    assert_eq!(numbers, [(0, 0), (1, 0), (2, 1), (3, 1)]);
    assert_eq!(journal.state().trial(4), None);
    assert_eq!((journal.state().next_study_id(), journal.state().next_trial_id()), (2, 4));
    append(&mut journal, [Operation::DeleteStudy { study: 0 }]).unwrap();
    assert!(no_effect(&mut journal, trial(0)).contains("no study of the id 0"));
    assert_eq!(journal.state().study("a"), None);
    append(&mut journal, [create_study("a"), trial(2)]).unwrap();
    assert_eq!(journal.state().study("a").unwrap().trials[0].id, 4);
    // As in Optuna, trials of a deleted study can still change.
    append(&mut journal, [state(0, TrialState::Fail, None)]).unwrap();
}

#[test]
fn a_study_has_one_name_and_a_finished_trial_does_not_change() {
    let place = Place::new();
    let mut journal = Journal::open(place.log()).unwrap();
    append(&mut journal, [create_study("moe")]).unwrap();
    append(&mut journal, complete_trial(0)).unwrap();
    assert!(no_effect(&mut journal, create_study("moe")).contains("a study \"moe\" already"));
    for operation in complete_trial(0).split_off(1) {
        assert!(
            no_effect(&mut journal, operation).contains("trial 0 of the study \"moe\" has ended")
        );
    }
    assert!(
        no_effect(&mut journal, set_param(1, "rate", rate(1e-3))).contains("no trial of the id 1")
    );
    let attr = Operation::SetStudyUserAttr { study: 1, key: "a".into(), value: 1.into() };
    assert!(no_effect(&mut journal, attr).contains("no study of the id 1"));
}

#[test]
fn a_waiting_trial_belongs_to_the_first_that_starts_it() {
    let place = Place::new();
    let mut first = Journal::open(place.log()).unwrap();
    append(&mut first, [create_study("moe"), create_trial(0, NewTrial::waiting())]).unwrap();
    assert_eq!(first.state().trial(0).unwrap().datetime_start, None);
    let mut second = Journal::open(place.log()).unwrap();
    append(&mut second, [state(0, TrialState::Running, None)]).unwrap();
    // It has not looked at the state under the lock.
    assert!(no_effect_of_late_start(&mut first).contains("trial 0 is running already"));
    let trial = first.state().trial(0).unwrap();
    assert_eq!(trial.worker, second.worker());
    assert!(trial.datetime_start.is_some());
    append(&mut second, [state(0, TrialState::Waiting, None)]).unwrap();
    append(&mut first, [state(0, TrialState::Running, None)]).unwrap();
    assert_eq!(first.state().trial(0).unwrap().worker, first.worker());
}

fn no_effect_of_late_start(journal: &mut Journal) -> String {
    match append(journal, [state(0, TrialState::Running, None)]) {
        Err(JournalError::NoEffect { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_parameter_must_suit_the_first_trial_that_has_it() {
    let place = Place::new();
    let mut journal = Journal::open(place.log()).unwrap();
    let trial = || create_trial(0, NewTrial::running());
    let int = |log| Param {
        internal: 2.0,
        distribution: Arc::new(Distribution::Int { low: 1, high: 8, log, step: 1 }),
    };
    append(&mut journal, [create_study("moe"), trial(), trial(), trial()]).unwrap();
    append(&mut journal, [set_param(1, "x", int(false))]).unwrap();
    assert!(no_effect(&mut journal, set_param(2, "x", rate(1e-3))).contains("in trial 1"));
    assert!(
        no_effect(&mut journal, set_param(0, "x", int(true))).contains("only ranges may differ")
    );
    // A template is not compared, and an earlier trial decides for those behind it.
    let mut template = NewTrial::running();
    template.params.insert("x".into(), rate(1e-3));
    append(&mut journal, [create_trial(0, template)]).unwrap();
    append(&mut journal, [set_param(0, "x", int(false)), set_param(3, "x", int(false))]).unwrap();
    assert!(no_effect(&mut journal, set_param(2, "x", rate(1e-3))).contains("in trial 0"));
    assert_eq!(journal.state().trial(2).unwrap().params.len(), 0);
}

#[test]
fn later_values_replace_earlier_ones() {
    let place = Place::new();
    let mut journal = Journal::open(place.log()).unwrap();
    append(&mut journal, [create_study("moe"), create_trial(0, NewTrial::running())]).unwrap();
    let step = |value| Operation::SetTrialIntermediate { trial: 0, step: 1, value };
    let attr =
        |value: i64| Operation::SetTrialUserAttr { trial: 0, key: "a".into(), value: value.into() };
    let values = Operation::SetTrialState {
        trial: 0,
        state: TrialState::Waiting,
        values: Some(vec![1.0]),
        time: None,
    };
    let operations = [
        step(1.0),
        step(2.0),
        attr(1),
        attr(2),
        set_param(0, "x", rate(1e-3)),
        set_param(0, "x", rate(2e-3)),
        values,
    ];
    append(&mut journal, operations).unwrap();
    // Without a time, it is the time of writing.
    append(
        &mut journal,
        [Operation::SetTrialState {
            trial: 0,
            state: TrialState::Complete,
            values: None,
            time: None,
        }],
    )
    .unwrap();
    let trial = journal.state().trial(0).unwrap();
    assert_eq!(trial.intermediate[&1], 2.0);
    assert_eq!(trial.user_attrs["a"], 2);
    assert_eq!(trial.params["x"].internal, 2e-3);
    assert_eq!(trial.values, Some(vec![1.0]), "values that are not given stay");
    assert!(trial.datetime_complete >= trial.datetime_start);
}
