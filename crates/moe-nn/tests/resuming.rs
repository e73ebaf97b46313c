//! Training that was interrupted, saved and loaded ends with the same bits as training that was not.

mod common;

use common::{Memory, build, options};
use moe_core::envelope::{Kind, open, seal};
use moe_nn::{
    AdamOptions, EpochRecord, History, Mixture, MixtureDescription, Observer, TrainError,
    TrainOptions, TrainState, continue_training, evaluate, train,
};

const KIND: Kind = Kind { name: "training", version: 1 };

/// Keeps the state after every epoch as a file's bytes.
#[derive(Default)]
struct Saves(Vec<Vec<u8>>);

impl Observer for Saves {
    fn on_epoch(&mut self, _record: &EpochRecord, state: &TrainState) -> Result<(), String> {
        self.0.push(seal(KIND, state).map_err(|error| error.to_string())?);
        Ok(())
    }
}

/// Fails after an epoch.
struct FailsAfter(usize);

impl Observer for FailsAfter {
    fn on_epoch(&mut self, record: &EpochRecord, _state: &TrainState) -> Result<(), String> {
        if record.epoch == self.0 { Err("the disk is full".into()) } else { Ok(()) }
    }
}

/// A history without its times, which no two runs share.
fn timeless(mut history: History) -> History {
    history.train_seconds = 0.0;
    history.epochs.iter_mut().for_each(|epoch| epoch.seconds = 0.0);
    history
}

/// Cuts the run after every epoch and compares the ends; returns the history.
fn cuts_do_not_matter(
    description: &MixtureDescription,
    (train_part, val): &(Memory, Memory),
    options: &TrainOptions,
) -> History {
    let mut whole = build(description, options.seed);
    let mut saves = Saves::default();
    let history = train(&mut whole, train_part, val, options, &mut saves).unwrap();
    assert_eq!(saves.0.len(), history.epochs.len());

    for (epoch, bytes) in saves.0.iter().enumerate() {
        let state: TrainState = open(KIND, bytes).unwrap();
        assert_eq!(state.history().epochs.len(), epoch + 1);
        // Weights of another seed: all that counts is in the state.
        let mut resumed: Mixture = build(description, options.seed + 100);
        let mut later = Saves::default();
        let end = continue_training(&mut resumed, state, train_part, val, options, &mut later);
        let cut = format!("cut after epoch {}", epoch + 1);
        assert_eq!(timeless(end.unwrap()), timeless(history.clone()), "{cut}");
        assert!(common::bits(&resumed) == common::bits(&whole), "{cut}");
        // Every state on the way is the same too, optimiser and last weights included.
        assert_eq!(later.0.len(), saves.0.len() - epoch - 1, "{cut}");
        for (later, first) in later.0.iter().zip(&saves.0[epoch + 1..]) {
            assert!(untimed_bytes(later) == untimed_bytes(first), "{cut}");
        }
    }
    history
}

/// The state with the times in its history set to zero.
fn untimed_bytes(bytes: &[u8]) -> Vec<u8> {
    let state: TrainState = open(KIND, bytes).unwrap();
    let mut value = serde_json::to_value(&state).unwrap();
    value["history"] = serde_json::to_value(timeless(state.history().clone())).unwrap();
    value.to_string().into_bytes()
}

#[test]
fn dense_rows_with_dropout_and_a_balancing_loss() {
    let parts = (common::dense(1, 90, 4), common::dense(2, 40, 4));
    let description =
        MixtureDescription { expert_dropout: 0.3, ..common::balanced(&parts.0, 0.05) };
    cuts_do_not_matter(&description, &parts, &TrainOptions { epochs: 5, ..options(1) });
}

#[test]
fn ids_whose_rows_have_moments_without_gradients() {
    // Batches of four rows leave most embedding rows without gradient in most steps.
    let parts = (common::ids(1, 40), common::ids(2, 40));
    let description = common::description(&parts.0, "softmax");
    let options = TrainOptions { epochs: 4, batch_rows: 4, ..options(2) };
    cuts_do_not_matter(&description, &parts, &options);
}

#[test]
fn the_best_weights_and_patience_survive() {
    let parts = (common::dense(1, 24, 4), common::dense(2, 60, 4));
    let description = common::description(&parts.0, "top-k");
    let adam = AdamOptions { learning_rate: 0.03, ..AdamOptions::default() };
    let options = TrainOptions { epochs: 100, batch_rows: 8, patience: 4, adam, ..options(2) };
    let history = cuts_do_not_matter(&description, &parts, &options);
    assert_eq!(history.epochs.len(), history.best_epoch + 4, "it stopped early");
}

#[test]
fn a_longer_run_takes_over_from_a_finished_one() {
    let (train_part, val) = (common::dense(1, 90, 4), common::dense(2, 40, 4));
    let description = common::description(&train_part, "top-k");
    let (short, long) =
        (TrainOptions { epochs: 2, ..options(1) }, TrainOptions { epochs: 5, ..options(1) });
    let mut model = build(&description, 1);
    let mut saves = Saves::default();
    train(&mut model, &train_part, &val, &short, &mut saves).unwrap();
    let state: TrainState = open(KIND, saves.0.last().unwrap()).unwrap();
    let history = continue_training(&mut model, state, &train_part, &val, &long, &mut ()).unwrap();
    let mut whole = build(&description, 1);
    let expected = train(&mut whole, &train_part, &val, &long, &mut ()).unwrap();
    assert_eq!(timeless(history), timeless(expected));
    assert_eq!(common::bits(&model), common::bits(&whole));
}

#[test]
fn times_go_on_where_they_were() {
    let (train_part, val) = (common::dense(1, 90, 4), common::dense(2, 40, 4));
    let description = common::description(&train_part, "top-k");
    let mut saves = Saves::default();
    let options = TrainOptions { epochs: 3, ..options(1) };
    train(&mut build(&description, 1), &train_part, &val, &options, &mut saves).unwrap();
    let state: TrainState = open(KIND, &saves.0[0]).unwrap();
    let (before, trained) = (state.history().epochs[0].seconds, state.history().train_seconds);
    let mut model = build(&description, 1);
    let history =
        continue_training(&mut model, state, &train_part, &val, &options, &mut ()).unwrap();
    assert_eq!(history.epochs[0].seconds, before);
    assert!(history.epochs.is_sorted_by(|a, b| a.seconds < b.seconds));
    assert!(history.train_seconds > trained);
    assert!(history.train_seconds <= history.epochs[2].seconds);
}

#[test]
fn an_observer_that_fails_stops_training() {
    let (train_part, val) = (common::dense(1, 90, 4), common::dense(2, 40, 4));
    let mut model = build(&common::description(&train_part, "top-k"), 1);
    let error = train(&mut model, &train_part, &val, &options(1), &mut FailsAfter(2)).unwrap_err();
    let expected = TrainError::Observer { epoch: 2, message: "the disk is full".into() };
    assert_eq!(error, expected);
    assert_eq!(error.to_string(), "after epoch 2: the disk is full");
}

#[test]
fn the_last_weights_can_be_had_from_a_state() {
    let (train_part, val) = (common::dense(1, 90, 4), common::dense(2, 40, 4));
    let description = common::description(&train_part, "top-k");
    let mut saves = Saves::default();
    let history =
        train(&mut build(&description, 1), &train_part, &val, &options(1), &mut saves).unwrap();
    for (record, bytes) in history.epochs.iter().zip(&saves.0) {
        let state: TrainState = open(KIND, bytes).unwrap();
        let mut model = build(&description, 7);
        state.restore_last(&mut model);
        let evaluation = evaluate(&model, &val, &options(1).task_weights, 16);
        assert_eq!(evaluation.loss, record.val_loss, "epoch {}", record.epoch);
    }
}
