//! Several writers of one journal, and the lock that keeps them apart.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, iter};

use moe_core::rand::Rng;
use moe_core::random::chacha;
use serde_json::json;

use crate::journal::error::JournalError;
use crate::journal::journal::Journal;
use crate::journal::operation::{NewTrial, Operation};
use crate::journal::state::{State, TrialState};
use crate::journal::tests::common::{
    Place, append, complete_trial, create_study, create_trial, describe, described_by_optuna,
    python, state, trials, with_trials,
};

/// How long the tests wait for a worker that is gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Repeats what another worker has taken the lock from: on a busy machine, a patience that is short enough for a test may be
/// shorter than a pause of the system. Nothing is written then.
fn until_kept<T>(mut transaction: impl FnMut() -> Result<T, JournalError>) -> T {
    loop {
        match transaction() {
            Err(JournalError::LockLost { .. }) => {}
            result => return result.unwrap(),
        }
    }
}

/// A trial of a worker, in the two transactions of a run: it is created, then it ends.
fn run_trial(journal: &mut Journal, turn: u64) -> usize {
    let create = |state: &State| {
        let id = state.next_trial_id();
        let seed =
            Operation::SetTrialUserAttr { trial: id, key: "turn".into(), value: json!(turn) };
        Ok::<_, JournalError>((vec![create_trial(0, NewTrial::running()), seed], id))
    };
    let id = until_kept(|| journal.transaction(create));
    let end = || state(id, TrialState::Complete, Some(vec![turn as f64]));
    until_kept(|| append(journal, [end()]));
    id
}

/// Creates the study if nobody has.
fn prepare(journal: &mut Journal) {
    let create = |state: &State| match state.study("moe") {
        Some(_) => Ok::<_, JournalError>((Vec::new(), ())),
        None => Ok((vec![create_study("moe")], ())),
    };
    until_kept(|| journal.transaction(create));
}

/// Asserts that each trial that was run is there once, in one study, with its turn as value and attribute.
fn check(path: &Path, count: usize) {
    let journal = Journal::open(path).unwrap();
    assert_eq!(journal.state().studies.len(), 1);
    let trials = &journal.state().studies[0].trials;
    let complete = trials.iter().filter(|trial| trial.state == TrialState::Complete);
    let runs: BTreeSet<(&str, u64)> = complete
        .map(|trial| {
            let turn = trial.user_attrs["turn"].as_u64().unwrap();
            assert_eq!(trial.values, Some(vec![turn as f64]));
            (trial.worker.as_str(), turn)
        })
        .collect();
    assert_eq!(runs.len(), count, "none is lost and none is there twice");
}

#[test]
fn threads_that_write_at_once_lose_nothing() {
    for writers in [2, 8] {
        let place = Place::new();
        let turns = trials(6);
        thread::scope(|scope| {
            for _ in 0..writers {
                scope.spawn(|| {
                    let mut journal = Journal::open(place.log()).unwrap();
                    prepare(&mut journal);
                    for turn in 0..turns {
                        let id = run_trial(&mut journal, turn);
                        assert_eq!(journal.state().trial(id).unwrap().worker, journal.worker());
                    }
                });
            }
        });
        check(&place.log(), writers * turns as usize);
        assert_eq!(place.files(), ["study.log"]);
    }
}

/// A part of the tests below: what a process of its own does. Without the variable it is nothing.
#[test]
fn a_process_that_writes() {
    let Ok(log) = env::var("MOE_TEST_JOURNAL") else { return };
    let mut journal = Journal::open(log).unwrap().with_patience(PATIENCE);
    prepare(&mut journal);
    let turns: u64 = env::var("MOE_TEST_TURNS").unwrap().parse().unwrap();
    for turn in 0..turns {
        run_trial(&mut journal, turn);
    }
}

fn start(log: &Path, turns: u64) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "journal::tests::writers::a_process_that_writes"]);
    command.env("MOE_TEST_JOURNAL", log).env("MOE_TEST_TURNS", turns.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn processes_that_write_at_once_lose_nothing() {
    let place = Place::new();
    let turns = trials(6);
    let children: Vec<Child> = (0..4).map(|_| start(&place.log(), turns)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    check(&place.log(), 4 * turns as usize);
}

/// Processes are killed at any moment, some of them with the lock in their hands; the others go on.
#[test]
fn processes_that_are_killed_leave_a_journal_that_goes_on() {
    let place = Place::new();
    let mut rng = chacha(1, "tests.journal.kills", 0);
    let turns = trials(6);
    let going = [start(&place.log(), turns), start(&place.log(), turns)];
    for _ in 0..turns {
        let mut child = start(&place.log(), 1_000_000);
        thread::sleep(Duration::from_millis(rng.random_range(5..120)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    for mut child in going {
        assert!(child.wait().unwrap().success());
    }
    let journal = Journal::open(place.log()).unwrap().with_patience(PATIENCE);
    let trials = &journal.state().studies[0].trials;
    let numbers: Vec<usize> = trials.iter().map(|trial| trial.number).collect();
    assert_eq!(numbers, (0..trials.len()).collect::<Vec<_>>());
    let runs = |trial: &&crate::journal::state::Trial| trial.state == TrialState::Running;
    let killed: BTreeSet<&str> =
        trials.iter().filter(runs).map(|trial| trial.worker.as_str()).collect();
    assert_eq!(
        killed.len(),
        trials.iter().filter(runs).count(),
        "a worker leaves one trial at most"
    );
    assert!(killed.len() as u64 <= turns);
    let complete = trials.len() - killed.len();
    assert!(complete as u64 >= 2 * turns);
    check(&place.log(), complete);
    if let Some(python) = python() {
        assert_eq!(described_by_optuna(python, &place.log()), describe(journal.state()));
    }
}

/// The lock as Optuna makes it: a link to the journal's path as it was given.
#[cfg(unix)]
fn hold(log: &Path) {
    std::os::unix::fs::symlink(log, log.with_extension("log.lock")).unwrap();
}

#[cfg(unix)]
#[test]
fn the_lock_of_a_dead_worker_is_taken_over() {
    let place = Place::new();
    let mut journal = with_trials(&place.log(), 1).with_patience(PATIENCE);
    hold(&place.log());
    let began = Instant::now();
    append(&mut journal, complete_trial(1)).unwrap();
    assert!(began.elapsed() >= PATIENCE);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(place.files(), ["study.log"]);
    check_ids(&place.log(), 2);
}

fn check_ids(log: &Path, count: usize) {
    assert_eq!(Journal::open(log).unwrap().state().next_trial_id(), count);
}

#[cfg(unix)]
#[test]
fn several_that_wait_for_a_dead_worker_write_one_after_the_other() {
    let place = Place::new();
    drop(with_trials(&place.log(), 0));
    hold(&place.log());
    thread::scope(|scope| {
        for turn in 0..8 {
            let mut journal = Journal::open(place.log()).unwrap().with_patience(PATIENCE);
            scope.spawn(move || run_trial(&mut journal, turn));
        }
    });
    check(&place.log(), 8);
}

/// A holder that writes is alive, however long it takes.
#[cfg(unix)]
#[test]
fn a_lock_is_not_taken_over_while_the_journal_changes() {
    let place = Place::new();
    let mut journal = with_trials(&place.log(), 0).with_patience(PATIENCE);
    hold(&place.log());
    let line =
        Operation::SetStudyUserAttr { study: 0, key: "a".into(), value: json!(1) }.line("holder");
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20 {
                super::reading::write_behind(&place.log(), line.as_bytes());
                thread::sleep(Duration::from_millis(100));
            }
            fs::remove_file(place.log().with_extension("log.lock")).unwrap();
        });
        append(&mut journal, [create_trial(0, NewTrial::running())]).unwrap();
    });
    let text = fs::read_to_string(place.log()).unwrap();
    let holder = text.lines().filter(|line| line.contains("holder")).count();
    assert_eq!(holder, 20);
    assert!(text.lines().last().unwrap().contains("\"op_code\":4"), "the trial comes last");
}

#[cfg(unix)]
#[test]
fn a_lock_that_was_lost_stays_with_its_new_holder_and_nothing_is_written() {
    let place = Place::new();
    let mut journal = with_trials(&place.log(), 1);
    let before = fs::read(place.log()).unwrap();
    let lock = place.log().with_extension("log.lock");
    let result: Result<(), JournalError> = journal.transaction(|_| {
        fs::remove_file(&lock).unwrap();
        // Times of files may be as coarse as a tick of the system.
        thread::sleep(Duration::from_millis(50));
        hold(&place.log());
        Ok((vec![create_study("b")], ()))
    });
    assert!(matches!(result, Err(JournalError::LockLost { .. })), "{result:?}");
    assert_eq!(fs::read(place.log()).unwrap(), before);
    assert!(fs::symlink_metadata(lock).is_ok());
}

/// The lock leads to the journal from any folder, so that others see when it was changed.
#[cfg(unix)]
#[test]
fn the_lock_is_a_link_to_the_journal() {
    let place = Place::new();
    let mut journal = with_trials(&place.log(), 1);
    let lock = place.log().with_extension("log.lock");
    let result: Result<(), JournalError> = journal.transaction(|_| {
        assert!(fs::symlink_metadata(&lock).unwrap().is_symlink());
        assert_eq!(fs::canonicalize(&lock).unwrap(), fs::canonicalize(place.log()).unwrap());
        Ok((Vec::new(), ()))
    });
    result.unwrap();
}

#[test]
fn workers_have_names_of_their_own() {
    let place = Place::new();
    let open = || Journal::open(place.log()).unwrap().worker().to_owned();
    let names: BTreeSet<String> = iter::repeat_with(open).take(50).collect();
    assert_eq!(names.len(), 50);
}
