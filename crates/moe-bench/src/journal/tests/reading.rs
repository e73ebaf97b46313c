//! What is appended is read once, and what is wrong is an error with its line.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::journal::error::JournalError;
use crate::journal::journal::Journal;
use crate::journal::operation::Operation;
use crate::journal::state::TrialState;
use crate::journal::tests::common::{
    Place, append, complete_trial, create_study, describe, state, with_trials,
};

/// Appends bytes as another writer would.
pub(super) fn write_behind(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_reader_creates_nothing() {
    let place = Place::new();
    let mut journal = Journal::open(place.log()).unwrap();
    journal.sync().unwrap();
    assert!(journal.state().studies.is_empty());
    let answer: Result<u8, JournalError> = journal.transaction(|state| {
        assert!(state.studies.is_empty());
        Ok((Vec::new(), 7))
    });
    assert_eq!(answer.unwrap(), 7);
    assert_eq!(place.files(), [""; 0], "a transaction without operations writes nothing");
    append(&mut journal, [create_study("moe")]).unwrap();
    assert_eq!(place.files(), ["study.log"]);
}

#[test]
fn a_failed_decision_writes_nothing() {
    let place = Place::new();
    let mut journal = with_trials(&place.log(), 1);
    let before = fs::read(place.log()).unwrap();
    #[derive(Debug, PartialEq)]
    enum Failed {
        Here(usize),
        Journal(String),
    }
    impl From<JournalError> for Failed {
        fn from(error: JournalError) -> Self {
            Failed::Journal(error.to_string())
        }
    }
    let failed: Result<(), Failed> =
        journal.transaction(|state| Err(Failed::Here(state.next_trial_id())));
    assert_eq!(failed, Err(Failed::Here(1)));
    assert_eq!(fs::read(place.log()).unwrap(), before);
    assert_eq!(place.files(), ["study.log"], "the lock is free");
    let ended = || (vec![state(0, TrialState::Fail, None)], ());
    let failed: Result<(), Failed> = journal.transaction(|_| Ok(ended()));
    assert!(matches!(&failed, Err(Failed::Journal(text)) if text.contains("line 7")), "{failed:?}");
}

#[test]
fn only_what_was_appended_is_read() {
    let place = Place::new();
    let mut writer = with_trials(&place.log(), 2);
    let mut reader = Journal::open(place.log()).unwrap();
    // What has been read is not looked at again.
    let mut bytes = fs::read(place.log()).unwrap();
    bytes[..20].fill(b'x');
    fs::write(place.log(), &bytes).unwrap();
    append(&mut writer, complete_trial(2)).unwrap();
    reader.sync().unwrap();
    assert_eq!(reader.state(), writer.state());
    assert_eq!(reader.state().next_trial_id(), 3);
    assert!(Journal::open(place.log()).is_err());
}

#[test]
fn a_line_counts_once_its_line_break_is_there() {
    let place = Place::new();
    let writer = with_trials(&place.log(), 1);
    let mut reader = Journal::open(place.log()).unwrap();
    let line = state_line();
    for byte in line.trim_end().bytes() {
        write_behind(&place.log(), &[byte]);
        reader.sync().unwrap();
        assert_eq!(reader.state(), writer.state());
    }
    write_behind(&place.log(), b"\n");
    reader.sync().unwrap();
    assert_eq!(reader.state().studies[0].user_attrs["a"], 1);
}

fn state_line() -> String {
    Operation::SetStudyUserAttr { study: 0, key: "a".into(), value: 1.into() }.line("other")
}

#[test]
fn a_journal_that_became_shorter_is_read_from_its_beginning() {
    let place = Place::new();
    let mut journal = with_trials(&place.log(), 3);
    fs::remove_file(place.log()).unwrap();
    journal.sync().unwrap();
    assert!(journal.state().studies.is_empty());
    append(&mut journal, [create_study("another")]).unwrap();
    assert_eq!(describe(journal.state())[0]["name"], "another");
}

#[test]
fn what_is_not_an_operation_is_an_error_with_its_line() {
    let head = |code: u64| format!("{{\"op_code\":{code},\"worker_id\":\"w\"");
    let float = r#"{\"name\": \"FloatDistribution\", \"attributes\": {\"low\": 0, \"high\": 1}}"#;
    let choices = r#"{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": [1]}}"#;
    let param = format!("{},\"trial_id\":0,\"param_name\":\"x\",\"param_value_internal\"", head(5));
    let time = "\"datetime_start\":\"2026-01-01T00:00:00+00:00\"";
    let wrong = [
        ("1".into(), "invalid type: integer"),
        ("{}".into(), "missing field `op_code`"),
        ("{\"op_code\":0}".into(), "missing field `worker_id`"),
        ("{\"op_code\":-1,\"worker_id\":\"w\"}".into(), "column 13"),
        (
            head(11) + "}",
            "operation 11 is unknown; the journal was written by a version newer than Optuna 5.0",
        ),
        (head(4_000_000_000) + ",\"trial_id\":\"new\"}", "newer than Optuna 5.0"),
        (head(0) + ",\"directions\":[1]}", "`study_name` is missing"),
        (head(0) + ",\"study_name\":\"s\",\"directions\":[3]}", "the direction 3 is unknown"),
        (head(1) + ",\"study_id\":\"0\"}", "invalid type: string \"0\""),
        (head(2) + ",\"study_id\":0,\"user_attr\":{}}", "exactly one key"),
        (head(3) + ",\"study_id\":0,\"system_attr\":{\"a\":1,\"b\":2}}", "exactly one key"),
        (head(4) + "}", "`study_id` is missing"),
        (head(4) + ",\"study_id\":0,\"datetime_start\":\"today\"}", "not a time"),
        (head(4) + ",\"study_id\":0,\"value\":1,\"values\":[1]}", "both `value` and `values`"),
        (head(4) + ",\"study_id\":0,\"params\":{\"x\":1}}", "the parameter x has no distribution"),
        (head(5) + ",\"trial_id\":0}", "`param_name` is missing"),
        (format!("{param}:0.5,\"distribution\":\"{{}}\"}}"), "missing field `name`"),
        (format!("{param}:\"a\",\"distribution\":\"{float}\"}}"), "a string is not a number"),
        (
            format!("{param}:1,\"distribution\":\"{choices}\"}}"),
            "1 is not a value of the parameter x",
        ),
        (head(6) + ",\"trial_id\":0,\"state\":5}", "the state 5 is unknown"),
        (head(6) + ",\"trial_id\":0,\"state\":1}", "`datetime_complete` is missing"),
        (
            format!("{},\"trial_id\":0,\"state\":3,{time}}}", head(6)),
            "`datetime_complete` is missing",
        ),
        (head(7) + ",\"trial_id\":0,\"step\":1}", "`intermediate_value` is missing"),
        (
            head(7) + ",\"trial_id\":0,\"step\":0.5,\"intermediate_value\":1}",
            "floating point `0.5`",
        ),
        (head(8) + ",\"user_attr\":{\"a\":1}}", "`trial_id` is missing"),
    ];
    for (line, problem) in wrong {
        let place = Place::new();
        let mut journal = with_trials(&place.log(), 1);
        write_behind(&place.log(), format!("{line}\n").as_bytes());
        let bytes = fs::read(place.log()).unwrap();
        let before = journal.state().clone();
        let error = journal.sync().unwrap_err().to_string();
        let place_of_it = format!("{}, line 7: ", place.log().display());
        assert!(error.starts_with(&place_of_it) && error.contains(problem), "{line}: {error}");
        assert!(append(&mut journal, [create_study("b")]).is_err());
        assert!(Journal::repair(&place.log()).is_err(), "a repair does not drop it");
        assert_eq!(*journal.state(), before);
        assert_eq!(fs::read(place.log()).unwrap(), bytes, "nothing is written");
        assert_eq!(place.files(), ["study.log"]);
    }
}

#[test]
fn unknown_fields_and_the_operation_of_rustuna_are_passed_over() {
    let place = Place::new();
    let mut journal = with_trials(&place.log(), 0);
    for line in [
        "{\"op_code\":10,\"worker_id\":\"w\",\"trial_id\":[\"of another type\"]}\n",
        "{\"op_code\":10,\"worker_id\":\"w\"}\r\n",
        "{\"note\":{\"op_code\":NaN},\"worker_id\":\"w\",\"op_code\":4,\"study_id\":0,\"datetime_start\":null}\n",
    ] {
        write_behind(&place.log(), line.as_bytes());
    }
    journal.sync().unwrap();
    assert_eq!(journal.state().next_trial_id(), 1);
    append(&mut journal, [state(0, TrialState::Fail, None)]).unwrap();
}

#[test]
fn a_folder_is_not_a_journal() {
    let place = Place::new();
    fs::create_dir(place.log()).unwrap();
    let error = Journal::open(place.log()).unwrap_err();
    assert!(matches!(error, JournalError::File { .. }), "{error}");
    let inside = place.log().join("missing").join("study.log");
    let mut journal = Journal::open(inside).unwrap();
    let error = append(&mut journal, [create_study("moe")]).unwrap_err();
    assert!(matches!(error, JournalError::Lock { .. }), "{error}");
}
