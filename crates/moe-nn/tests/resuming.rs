//! Training that was interrupted, saved and loaded ends with the same bits as training that was not.

mod common;

use common::{Memory, build, build_any, options};
use moe_nn::{
    Clipping, Decay, EpochRecord, History, MixtureDescription, Observer, OptimizerOptions, Rule,
    RunDir, RunInfo, Schedule, TrainError, TrainOptions, TrainState, continue_training, evaluate,
    train,
};

/// Saves the state after every epoch.
#[derive(Default)]
struct Saves(Vec<TrainState>);

impl Observer for Saves {
    fn on_epoch(&mut self, _record: &EpochRecord, state: &TrainState) -> Result<(), String> {
        self.0.push(state.clone());
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

/// A history without its times, which differ between runs.
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
    let mut whole = build_any(description, options.seed);
    let mut saves = Saves::default();
    let history = train(&mut *whole, train_part, val, options, &mut saves).unwrap();
    assert_eq!(saves.0.len(), history.epochs.len());

    let place = tempfile::tempdir().unwrap();
    for (epoch, state) in saves.0.iter().enumerate() {
        assert_eq!(state.history().epochs.len(), epoch + 1);
        // Through a run directory, as after a crash.
        let path = place.path().join(epoch.to_string());
        RunDir::create(&path, RunInfo::default(), state).unwrap();
        let (_, opened) = RunDir::open(&path).unwrap();
        assert!(opened == *state, "{epoch}");
        // The weights are those of another seed; the state replaces them.
        let mut resumed = build_any(description, options.seed + 100);
        let mut later = Saves::default();
        let end = continue_training(&mut *resumed, opened, train_part, val, options, &mut later);
        let cut = format!("cut after epoch {}", epoch + 1);
        assert_eq!(timeless(end.unwrap()), timeless(history.clone()), "{cut}");
        assert!(common::bits(&*resumed) == common::bits(&*whole), "{cut}");
        assert_eq!(later.0.len(), saves.0.len() - epoch - 1, "{cut}");
        for (later, first) in later.0.iter().zip(&saves.0[epoch + 1..]) {
            assert!(later.last() == first.last() && later.best() == first.best(), "{cut}");
        }
    }
    history
}

#[test]
fn baselines_without_a_mixture() {
    let parts = (common::ids(1, 60), common::ids(2, 40));
    for (id, epochs) in [("shared-bottom", 3), ("single", 3), ("bias", 1)] {
        let description = common::description(&parts.0, id).with_expert_dropout(0.3);
        let options = TrainOptions { epochs: 3, ..options(1) };
        let history = cuts_do_not_matter(&description, &parts, &options);
        assert_eq!(history.epochs.len(), epochs, "{id}");
    }
}

#[test]
fn dense_rows_with_dropout_and_a_balancing_loss() {
    let parts = (common::dense(1, 90, 4), common::dense(2, 40, 4));
    let description = common::balanced(&parts.0, 0.05).with_expert_dropout(0.3);
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
fn every_rule_and_its_schedule_go_on() {
    let parts = (common::ids(1, 40), common::ids(2, 40));
    let description = common::description(&parts.0, "top-k");
    for rule in [
        Rule::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-7, lazy: true },
        Rule::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-7, weight_decay: 0.1 },
        Rule::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.0 },
        Rule::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.01 },
    ] {
        let decay = Decay::Cosine { total_steps: 30, final_factor: 0.1 };
        let schedule = Schedule { warmup_steps: 7, decay };
        let clipping = Clipping::Norm(0.5);
        let optimizer = OptimizerOptions { rule, schedule, clipping, ..common::rate(0.01) };
        let options = TrainOptions { epochs: 3, batch_rows: 4, optimizer, ..options(2) };
        cuts_do_not_matter(&description, &parts, &options);
    }
}

#[test]
fn the_best_weights_and_patience_survive() {
    let parts = (common::dense(1, 24, 4), common::dense(2, 60, 4));
    let description = common::description(&parts.0, "top-k");
    let optimizer = common::rate(0.03);
    let options = TrainOptions { epochs: 100, batch_rows: 8, patience: 4, optimizer, ..options(2) };
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
    let state = saves.0.pop().unwrap();
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
    let state = saves.0.remove(0);
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
    for (record, state) in history.epochs.iter().zip(&saves.0) {
        let mut model = build(&description, 7);
        state.last().put_into(&mut model).unwrap();
        let evaluation = evaluate(&model, &val, &options(1).task_weights, 16);
        assert_eq!(evaluation.loss, record.val_loss, "epoch {}", record.epoch);
    }
}
