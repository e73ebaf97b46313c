//! Training that is stopped between any two steps, saved and loaded ends with the same bits as training that was not.

mod common;

use std::collections::BTreeMap;

use common::{Memory, build, build_any, in_pool, options};
use moe_nn::{
    EpochRecord, History, Mixture, MixtureDescription, Model, Observer, OptimizerOptions, Rule,
    RunDir, RunInfo, TrainControl, TrainError, TrainOptions, TrainState, continue_training, train,
};
use moe_routers::Value;

/// Asks for this at one place: after this number of steps, for the first time.
struct At {
    steps: u64,
    asks: TrainControl,
    taken: u64,
    asked: bool,
    saved: Vec<TrainState>,
    epochs: usize,
}

impl At {
    fn new(steps: u64, asks: TrainControl) -> Self {
        At { steps, asks, taken: 0, asked: false, saved: Vec::new(), epochs: 0 }
    }
}

impl Observer for At {
    fn on_step(&mut self, step: u64, _steps_per_epoch: u64, _loss: f64) {
        self.taken = step;
    }

    fn control(&mut self) -> TrainControl {
        if self.taken != self.steps || self.asked {
            return TrainControl::Continue;
        }
        self.asked = true;
        self.asks
    }

    fn on_checkpoint(&mut self, state: &TrainState) -> Result<(), String> {
        self.saved.push(state.clone());
        Ok(())
    }

    fn on_epoch(&mut self, _record: &EpochRecord, _state: &TrainState) -> Result<(), String> {
        self.epochs += 1;
        Ok(())
    }
}

/// A history without its times, which differ between runs.
fn timeless(mut history: History) -> History {
    history.train_seconds = 0.0;
    history.epochs.iter_mut().for_each(|epoch| epoch.seconds = 0.0);
    history
}

/// What a finished training leaves: all but times.
fn end(model: &dyn Model, history: History) -> (Vec<u64>, History) {
    (common::bits(model), timeless(history))
}

/// Stops the run between any two steps, and continues it on another number of threads.
fn stops_do_not_matter(
    description: &MixtureDescription,
    (train_part, val): &(Memory, Memory),
    options: &TrainOptions,
) {
    let mut whole = build_any(description, options.seed);
    let mut epochs = At::new(u64::MAX, TrainControl::Continue);
    let history = train(&mut *whole, train_part, val, options, &mut epochs).unwrap();
    let (steps, expected) = (history.steps, end(&*whole, history));
    let place = tempfile::tempdir().unwrap();
    for step in 0..=steps {
        let path = place.path().join(step.to_string());
        let mut first = build_any(description, options.seed);
        let mut stop = At::new(step, TrainControl::SaveAndStop);
        let state = TrainState::new(&*first, options.optimizer.clone());
        let dir = RunDir::create(&path, RunInfo::default(), &state).unwrap();
        let mut observer = (dir, &mut stop);
        let stopped = in_pool(1 + step as usize % 3, || {
            continue_training(&mut *first, state, train_part, val, options, &mut observer)
        });
        drop(observer);
        let epochs = stop.epochs;
        let interrupted = TrainError::Interrupted { step, epoch: epochs + 1 };
        assert_eq!(stopped, Err(interrupted));

        let (dir, state) = RunDir::open(&path).unwrap();
        assert!(state == stop.saved[0] && stop.saved.len() == 1, "after step {step}");
        assert_eq!(state.history().epochs.len(), epochs);
        let before = state.history().epochs.last().map_or(0, |record| record.steps);
        assert_eq!((state.history().steps, state.steps_in_epoch()), (step, step - before));
        assert!(*state.last() == moe_nn::Weights::of(&*first));
        // The weights are those of another seed; the state replaces them.
        let mut resumed = build_any(description, options.seed + 100);
        let mut observer = (dir, At::new(u64::MAX, TrainControl::Continue));
        let history = in_pool(1 + (step as usize + 1) % 3, || {
            continue_training(&mut *resumed, state, train_part, val, options, &mut observer)
        });
        let resumed = end(&*resumed, history.unwrap());
        assert!(resumed == expected, "after step {step}: {:?}", resumed.1);
        assert_eq!(observer.1.epochs + epochs, expected.1.epochs.len());
        drop(observer);
        let (_, state) = RunDir::open(&path).unwrap();
        assert_eq!(state.steps_in_epoch(), 0);
    }
}

#[test]
fn dropout_and_a_balancing_loss_in_micro_batches() {
    let parts = (common::dense(1, 50, 4), common::dense(2, 30, 4));
    let description = common::balanced(&parts.0, 0.05).with_expert_dropout(0.3);
    for micro_batch_rows in [None, Some(5)] {
        let options = TrainOptions { epochs: 3, micro_batch_rows, ..options(1) };
        stops_do_not_matter(&description, &parts, &options);
    }
}

#[test]
fn routers_that_draw_and_that_grow() {
    let parts = (common::dense(1, 50, 4), common::dense(2, 30, 4));
    for router in ["moesart", "noisy-top-k", "comet", "expert-choice"] {
        let description = common::description(&parts.0, router);
        stops_do_not_matter(&description, &parts, &TrainOptions { epochs: 2, ..options(3) });
    }
}

#[test]
fn a_capacity_whose_dropped_pairs_are_counted() {
    let parts = (common::ids(1, 50), common::ids(2, 30));
    let parameters = BTreeMap::from([("capacity-factor".to_string(), Value::Real(0.5))]);
    let description =
        common::description(&parts.0, "switch").with_k(1).with_router_parameters(parameters);
    stops_do_not_matter(&description, &parts, &TrainOptions { epochs: 2, ..options(3) });
}

#[test]
fn lazy_moments_and_baselines() {
    let parts = (common::ids(1, 40), common::ids(2, 30));
    let rule = Rule::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-7, lazy: true };
    let optimizer = OptimizerOptions { rule, ..common::rate(0.01) };
    for id in ["softmax", "shared-bottom", "single"] {
        let description = common::description(&parts.0, id).with_expert_dropout(0.3);
        let optimizer = optimizer.clone();
        let options = TrainOptions { epochs: 2, batch_rows: 9, optimizer, ..options(2) };
        stops_do_not_matter(&description, &parts, &options);
    }
}

fn parts() -> (Memory, Memory) {
    (common::dense(1, 50, 4), common::dense(2, 30, 4))
}

fn start(parts: &(Memory, Memory)) -> Mixture {
    build(&common::description(&parts.0, "top-k"), 1)
}

#[test]
fn a_model_that_is_fitted_has_no_steps_to_stop_between() {
    let parts = (common::ids(1, 40), common::ids(2, 30));
    let mut model = build_any(&common::description(&parts.0, "bias"), 1);
    let mut stop = At::new(0, TrainControl::SaveAndStop);
    let history = train(&mut *model, &parts.0, &parts.1, &options(1), &mut stop).unwrap();
    assert_eq!((history.epochs.len(), stop.epochs, stop.saved.len()), (1, 1, 0));
}

#[test]
fn a_checkpoint_that_does_not_stop_changes_nothing() {
    let parts = parts();
    let mut whole = start(&parts);
    let history = train(&mut whole, &parts.0, &parts.1, &options(1), &mut ()).unwrap();
    let expected = end(&whole, history);
    let mut model = start(&parts);
    let mut save = At::new(6, TrainControl::Save);
    let history = train(&mut model, &parts.0, &parts.1, &options(1), &mut save).unwrap();
    assert!(end(&model, history) == expected);
    assert_eq!((save.saved.len(), save.saved[0].steps_in_epoch()), (1, 2));
}

#[test]
fn of_two_observers_the_one_that_wants_more_decides() {
    use TrainControl::{Continue, Save, SaveAndStop};
    let parts = parts();
    for (one, other, stops, saves) in [
        (Continue, Continue, false, 0),
        (Save, Continue, false, 1),
        (Continue, Save, false, 1),
        (Save, SaveAndStop, true, 1),
        (SaveAndStop, Save, true, 1),
    ] {
        let mut observers = (At::new(3, one), At::new(3, other));
        let result = train(&mut start(&parts), &parts.0, &parts.1, &options(1), &mut observers);
        let stopped = TrainError::Interrupted { step: 3, epoch: 1 };
        assert_eq!(result.err(), stops.then_some(stopped), "{one:?}, {other:?}");
        for observer in [&observers.0, &observers.1] {
            assert_eq!(observer.saved.len(), saves, "{one:?}, {other:?}");
        }
    }
}

/// A state inside the first epoch, of four steps.
fn inside(parts: &(Memory, Memory)) -> TrainState {
    let mut stop = At::new(3, TrainControl::SaveAndStop);
    train(&mut start(parts), &parts.0, &parts.1, &options(1), &mut stop).unwrap_err();
    stop.saved.remove(0)
}

#[test]
fn times_count_the_part_before_the_stop() {
    let parts = parts();
    let sleep = std::time::Duration::from_millis(50);
    struct Slow(std::time::Duration, At);
    impl Observer for Slow {
        fn on_step(&mut self, step: u64, steps_per_epoch: u64, loss: f64) {
            std::thread::sleep(self.0);
            self.1.on_step(step, steps_per_epoch, loss);
        }
        fn control(&mut self) -> TrainControl {
            self.1.control()
        }
        fn on_checkpoint(&mut self, state: &TrainState) -> Result<(), String> {
            self.1.on_checkpoint(state)
        }
    }
    let mut slow = Slow(sleep, At::new(3, TrainControl::SaveAndStop));
    train(&mut start(&parts), &parts.0, &parts.1, &options(1), &mut slow).unwrap_err();
    let state = slow.1.saved.remove(0);
    let one = TrainOptions { epochs: 1, ..options(1) };
    let history =
        continue_training(&mut start(&parts), state, &parts.0, &parts.1, &one, &mut ()).unwrap();
    let before = 3.0 * sleep.as_secs_f64();
    assert!(history.train_seconds >= before, "{}", history.train_seconds);
    assert!(history.epochs[0].seconds >= history.train_seconds);
    assert_eq!(history.seconds(), history.epochs[0].seconds);
    // A limit that the part before has used up ends training after the epoch.
    let state = {
        slow = Slow(sleep, At::new(3, TrainControl::SaveAndStop));
        train(&mut start(&parts), &parts.0, &parts.1, &options(1), &mut slow).unwrap_err();
        slow.1.saved.remove(0)
    };
    let limited = TrainOptions { max_seconds: Some(before), ..options(1) };
    let history =
        continue_training(&mut start(&parts), state, &parts.0, &parts.1, &limited, &mut ());
    assert_eq!(history.unwrap().epochs.len(), 1);
}

#[test]
fn an_epoch_of_another_length_is_refused() {
    let parts = parts();
    let other = TrainOptions { batch_rows: 10, ..options(1) };
    let error =
        continue_training(&mut start(&parts), inside(&parts), &parts.0, &parts.1, &other, &mut ());
    let error = error.unwrap_err();
    assert_eq!(error, TrainError::OtherEpoch { saved: 4, given: 5 });
    let says = "the saved state is inside an epoch of 4 steps, but these data and batches make epochs of 5;";
    assert!(error.to_string().starts_with(says), "{error}");
}

/// Cannot save.
struct Full;

impl Observer for Full {
    fn control(&mut self) -> TrainControl {
        TrainControl::Save
    }

    fn on_checkpoint(&mut self, _state: &TrainState) -> Result<(), String> {
        Err("the disk is full".into())
    }
}

#[test]
fn an_observer_that_cannot_save_stops_training() {
    let parts = parts();
    let mut observers = (At::new(u64::MAX, TrainControl::Continue), Full);
    let error = train(&mut start(&parts), &parts.0, &parts.1, &options(1), &mut observers);
    let expected = TrainError::Checkpoint { step: 0, message: "the disk is full".into() };
    assert_eq!(error, Err(expected.clone()));
    assert_eq!(expected.to_string(), "after step 0: the disk is full");
}

#[test]
fn a_checkpoint_inside_an_epoch_leaves_metrics_and_best_weights() {
    let parts = parts();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    let mut model = start(&parts);
    let state = TrainState::new(&model, options(1).optimizer);
    let mut dir = RunDir::create(&path, RunInfo::default(), &state).unwrap();
    let mut observers = (&mut dir, At::new(7, TrainControl::SaveAndStop));
    continue_training(&mut model, state, &parts.0, &parts.1, &options(1), &mut observers)
        .unwrap_err();
    let metrics = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 1);
    let names = common::saved_runs::names(&path);
    assert!(names.contains(&"best-1.safetensors".into()), "{names:?}");
    assert!(names.contains(&"last-2.safetensors".into()), "{names:?}");
}
