//! The time that a large study takes.

use std::fs;
use std::time::{Duration, Instant};

use crate::journal::journal::Journal;
use crate::journal::operation::{NewTrial, Operation};
use crate::journal::state::TrialState;
use crate::journal::tests::common::{
    Place, append, create_study, create_trial, rate, say, set_param, state, trials,
};

const WORKER: &str = "2bfe0d05-11b1-4c3e-9a6b-1f7f0c0a3c11-140140212352832";

/// A trial with 6 parameters and 10 intermediate values.
fn lines(id: usize) -> String {
    let param =
        |i: usize| set_param(id, &format!("train.parameter_{i}"), rate(1e-4 * (1 + i) as f64));
    let step =
        |step| Operation::SetTrialIntermediate { trial: id, step, value: 1.0 / (step + 2) as f64 };
    let mut operations = vec![create_trial(0, NewTrial::running())];
    operations.extend((0..6).map(param));
    operations.extend((0..10).map(step));
    operations.push(state(id, TrialState::Complete, Some(vec![0.5])));
    operations.iter().map(|operation| operation.line(WORKER)).collect()
}

/// 10,000 trials open in less than a second where the tests are optimised (`MOE_TRIALS=10000`, with `--release`). Without
/// optimisation a line may take up to 200 microseconds.
#[test]
fn a_large_study_opens_quickly() {
    let place = Place::new();
    let count = trials(500) as usize;
    let text = create_study("moe").line(WORKER) + &(0..count).map(lines).collect::<String>();
    fs::write(place.log(), &text).unwrap();
    let began = Instant::now();
    let journal = Journal::open(place.log()).unwrap();
    let took = began.elapsed();
    say(format_args!(
        "{count} trials, {:.1} MB: {:.3} s",
        text.len() as f64 / 1e6,
        took.as_secs_f64()
    ));
    assert_eq!(journal.state().studies[0].trials.len(), count);
    let line = Duration::from_micros(if cfg!(debug_assertions) { 200 } else { 5 });
    let most = (line * (18 * count as u32)).max(Duration::from_secs(1));
    assert!(took < most, "{took:?}");
}

/// Prints how many transactions a second are synced to the disk. A bound would be one of the disk: what is asserted is that a
/// transaction reads no more than what was appended.
#[test]
fn transactions_do_not_read_the_journal_again() {
    let place = Place::new();
    let text = create_study("moe").line(WORKER) + &(0..200).map(lines).collect::<String>();
    fs::write(place.log(), &text).unwrap();
    let mut journal = Journal::open(place.log()).unwrap();
    // Whoever reads these lines again fails.
    fs::write(place.log(), vec![b'\n'; text.len()]).unwrap();
    let count = trials(50);
    let began = Instant::now();
    for step in 0..count as i64 {
        let id = journal.state().next_trial_id();
        let new = (step == 0).then(|| create_trial(0, NewTrial::running()));
        let id = id - usize::from(step > 0);
        let value = Operation::SetTrialIntermediate { trial: id, step, value: 0.5 };
        append(&mut journal, new.into_iter().chain([value])).unwrap();
    }
    let took = began.elapsed();
    say(format_args!("{count} transactions: {:.0} a second", count as f64 / took.as_secs_f64()));
    assert_eq!(journal.state().trial(200).unwrap().intermediate.len() as u64, count);
}
