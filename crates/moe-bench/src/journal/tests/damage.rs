//! Lines without their end: passed over, cut off, and repaired where somebody has appended to one.

use std::fs;
use std::path::Path;

use crate::journal::error::JournalError;
use crate::journal::journal::Journal;
use crate::journal::operation::NewTrial;
use crate::journal::repair::Dropped;
use crate::journal::state::{State, TrialState};
use crate::journal::tests::common::{
    Place, append, complete_trial, create_trial, describe, described_by_optuna, python, run_python,
    state, with_trials,
};
use crate::journal::tests::reading::write_behind;

/// A journal with two trials, the bytes of it without the end of the second one, and the line of that end.
fn torn() -> (Place, Vec<u8>, Vec<u8>, State) {
    let place = Place::new();
    let journal = with_trials(&place.log(), 1);
    let mut journal_of_two = journal;
    let mut trial = complete_trial(1);
    let end = trial.pop().unwrap();
    append(&mut journal_of_two, trial).unwrap();
    let state = journal_of_two.state().clone();
    let bytes = fs::read(place.log()).unwrap();
    (place, bytes, end.line("ended").into_bytes(), state)
}

#[test]
fn a_line_that_ends_at_any_byte_is_passed_over_and_then_cut_off() {
    let (place, bytes, line, before) = torn();
    for length in 0..line.len() {
        fs::write(place.log(), [bytes.as_slice(), &line[..length]].concat()).unwrap();
        let mut journal = Journal::open(place.log()).unwrap();
        assert_eq!(*journal.state(), before, "{length}");
        append(&mut journal, [state(1, TrialState::Fail, None)]).unwrap();
        let text = fs::read(place.log()).unwrap();
        assert!(text.starts_with(&bytes) && text[bytes.len()..].starts_with(b"{\"op_code\":6"));
        let again = Journal::open(place.log()).unwrap();
        assert_eq!(again.state(), journal.state());
        let [first, second] = &again.state().studies[0].trials[..] else { panic!() };
        assert_eq!((first.state, second.state), (TrialState::Complete, TrialState::Fail));
    }
    // With its line break, the line counts.
    fs::write(place.log(), [bytes.as_slice(), &line].concat()).unwrap();
    let journal = Journal::open(place.log()).unwrap();
    assert_eq!(journal.state().trial(1).unwrap().state, TrialState::Complete);
}

#[test]
fn zeros_that_a_power_failure_leaves_are_cut_off() {
    let (place, bytes, _, before) = torn();
    fs::write(place.log(), [bytes.as_slice(), &[0; 4096]].concat()).unwrap();
    let mut journal = Journal::open(place.log()).unwrap();
    assert_eq!(*journal.state(), before);
    append(&mut journal, [state(1, TrialState::Fail, None)]).unwrap();
    assert!(!fs::read(place.log()).unwrap().contains(&0));
}

/// Another program appends to the beginning of a line, at any byte: an operation that creates a trial.
#[test]
fn a_repair_keeps_the_operation_that_follows_on_a_torn_line() {
    let (place, bytes, line, before) = torn();
    let whole = create_trial(0, NewTrial::running()).line("python").into_bytes();
    let last = state(1, TrialState::Fail, None).line("other").into_bytes();
    for length in 1..line.len() {
        let damaged = [bytes.as_slice(), &line[..length], &whole, &last].concat();
        fs::write(place.log(), &damaged).unwrap();
        let error = Journal::open(place.log()).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { line: 11, .. }), "{error}");
        let repair = Journal::repair(&place.log()).unwrap();
        let text = String::from_utf8(line[..length].to_vec()).unwrap();
        assert_eq!(repair.dropped, [Dropped { line: 11, text, is_beginning: true }]);
        assert_eq!(repair.lines, 12);
        let kept = repair.damaged.unwrap();
        assert_eq!(fs::read(&kept).unwrap(), damaged);
        assert_eq!(
            kept.file_name().unwrap().to_str(),
            Some(format!("study.log.damaged-{length}").as_str())
        );
        assert_eq!(fs::read(place.log()).unwrap(), [bytes.as_slice(), &whole, &last].concat());
        let journal = Journal::open(place.log()).unwrap();
        assert_eq!(journal.state().studies[0].trials[0], before.studies[0].trials[0]);
        assert_eq!(journal.state().trial(1).unwrap().state, TrialState::Fail, "ids do not shift");
        assert_eq!(journal.state().trial(2).unwrap().worker, "python");
    }
}

#[test]
fn a_repair_drops_what_is_no_operation_and_says_so() {
    let (place, bytes, line, before) = torn();
    let noise: [&[u8]; 4] = [b"\n", b"\xff\xfe\n", b"{\"op_code\": 4, \"study_id\"\n", &line[..9]];
    fs::write(place.log(), [bytes.as_slice(), &noise.concat()].concat()).unwrap();
    let repair = Journal::repair(&place.log()).unwrap();
    let texts: Vec<(u64, &str)> =
        repair.dropped.iter().map(|dropped| (dropped.line, dropped.text.as_str())).collect();
    let expected = [
        (11, ""),
        (12, "\u{fffd}\u{fffd}"),
        (13, "{\"op_code\": 4, \"study_id\""),
        (14, "{\"op_code"),
    ];
    assert_eq!(texts, expected);
    assert!(repair.dropped.iter().all(|dropped| !dropped.is_beginning));
    assert_eq!(fs::read(place.log()).unwrap(), bytes);
    assert_eq!(*Journal::open(place.log()).unwrap().state(), before);
    let again = Journal::repair(&place.log()).unwrap();
    assert_eq!((again.lines, again.dropped.len(), again.damaged), (10, 0, None));
    assert_eq!(place.files(), ["study.log", "study.log.damaged-1"]);
    assert!(Journal::repair(&place.log().with_extension("none")).is_err());
    assert_eq!(place.files().len(), 2);
}

/// A reader that has read up to the damage goes on in the repaired file, and a writer whose last line is damaged waits for the
/// repair instead of appending behind it.
#[test]
fn running_workers_go_on_after_a_repair() {
    let (place, _, line, before) = torn();
    let mut running = Journal::open(place.log()).unwrap();
    let whole = create_trial(0, NewTrial::running()).line("python");
    write_behind(&place.log(), &[&line[..30], whole.as_bytes()].concat());
    // It may become whole, on a file system over a network.
    running.sync().unwrap();
    assert_eq!(*running.state(), before);
    let damaged = fs::read(place.log()).unwrap();
    let error = append(&mut running, [state(1, TrialState::Fail, None)]).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { line: 11, .. }), "{error}");
    assert!(error.to_string().contains("moe tune --repair"));
    assert_eq!(fs::read(place.log()).unwrap(), damaged);
    Journal::repair(&place.log()).unwrap();
    append(&mut running, [state(1, TrialState::Fail, None)]).unwrap();
    assert_eq!(running.state(), Journal::open(place.log()).unwrap().state());
    assert_eq!(running.state().next_trial_id(), 3);
}

#[cfg(unix)]
#[test]
fn a_repaired_journal_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let (place, _, line, _) = torn();
    write_behind(&place.log(), &line[..20]);
    fs::set_permissions(place.log(), fs::Permissions::from_mode(0o660)).unwrap();
    Journal::repair(&place.log()).unwrap();
    assert_eq!(fs::metadata(place.log()).unwrap().permissions().mode() & 0o777, 0o660);
}

/// What Optuna does to a torn line, and that it reads the journal again after the repair.
#[test]
fn a_journal_that_optuna_made_unreadable_is_repaired() {
    let Some(python) = python() else { return };
    let (place, _, line, _) = torn();
    write_behind(&place.log(), &line[..40]);
    let write = "
import optuna, sys
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
storage = JournalStorage(JournalFileBackend(sys.argv[1]))
storage.set_study_user_attr(0, 'from', 'python')
storage.set_study_user_attr(0, 'again', 'python')
";
    let log = place.log();
    let run = |script| run_python(python, &["-W", "ignore", "-c", script, log.to_str().unwrap()]);
    let error = run(write).unwrap_err();
    assert!(error.contains("JSONDecodeError"), "{error}");
    let repair = Journal::repair(&log).unwrap();
    assert_eq!(repair.dropped.len(), 1);
    check_attributes(&log);
    assert_eq!(described_by_optuna(python, &log), describe(Journal::open(&log).unwrap().state()));
    run(write).unwrap();
}

fn check_attributes(log: &Path) {
    let journal = Journal::open(log).unwrap();
    let attrs = &journal.state().studies[0].user_attrs;
    assert_eq!((&attrs["from"], &attrs["again"]), (&"python".into(), &"python".into()));
}
