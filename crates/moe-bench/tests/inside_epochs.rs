//! A search for a permutation that is stopped between any two steps, saved and loaded ends with the same bits.

mod common;

use std::collections::BTreeMap;

use common::timeless;
use moe_data::LoadOptions;
use moe_nn::{
    History, MixtureDescription, Models, Observer, RunDir, RunInfo, TrainControl, TrainError,
    TrainOptions, TrainState, Weights, continue_training,
};
use moe_routers::{Registry, Value};
use moe_search::with_search;

/// Asks to stop after this number of calls.
struct StopAfter(u64);

impl Observer for StopAfter {
    fn control(&mut self) -> TrainControl {
        let is_now = self.0 == 0;
        self.0 = self.0.wrapping_sub(1);
        if is_now { TrainControl::SaveAndStop } else { TrainControl::Continue }
    }
}

fn stops_do_not_matter(router: &str, share: &str) {
    let rows = Some(60);
    let load =
        LoadOptions { train_rows: rows, val_rows: rows, test_rows: rows, ..LoadOptions::default() };
    let data = moe_data::load("multi-optdigits", &load).unwrap();
    // The permutation is learnt in the first two of three epochs.
    let parameters = BTreeMap::from([
        ("search-share".to_string(), Value::Text(share.into())),
        ("search-epochs".to_string(), Value::Int(2)),
    ]);
    let description = MixtureDescription::new(data.input.clone(), data.tasks.clone())
        .with_experts(4)
        .with_expert_width(4)
        .with_head_widths(&[])
        .with_router(router)
        .with_router_parameters(parameters);
    let models = Models::from(with_search(Registry::standard()));
    let description = models.describe(description).unwrap();
    let start = |seed| models.build(&*description, seed).unwrap();
    let options = TrainOptions {
        seed: 1,
        batch_rows: 20,
        micro_batch_rows: Some(7),
        epochs: 3,
        task_weights: vec![1.0, 1.0],
        ..TrainOptions::default()
    };
    let mut whole = start(1);
    let state = TrainState::new(&*whole, options.optimizer.clone());
    let train = |model: &mut dyn moe_nn::Model, state, observer: &mut dyn Observer| {
        continue_training(model, state, &data.train, &data.val, &options, observer)
    };
    let without_times = |history: History| {
        let history = History { train_seconds: 0.0, ..history };
        timeless(serde_json::to_value(history).unwrap())
    };
    let expected = without_times(train(&mut *whole, state.clone(), &mut ()).unwrap());
    // Each epoch has four places between its three steps, before and after them.
    for stop in 0..12 {
        let place = tempfile::tempdir().unwrap();
        let mut model = start(1);
        let dir = RunDir::create(place.path(), RunInfo::default(), &state).unwrap();
        let stopped = train(&mut *model, state.clone(), &mut (dir, StopAfter(stop))).unwrap_err();
        let (step, epoch) = (stop / 4 * 3 + stop % 4, stop as usize / 4 + 1);
        assert_eq!(stopped, TrainError::Interrupted { step, epoch });
        let (dir, saved) = RunDir::open(place.path()).unwrap();
        let mut resumed = start(7);
        let history = without_times(train(&mut *resumed, saved, &mut (dir, ())).unwrap());
        assert!(history == expected, "{router}, after step {step}: {history}");
        assert!(Weights::of(&*resumed) == Weights::of(&*whole), "{router}, after step {step}");
    }
}

#[test]
fn a_search_of_whole_gates() {
    stops_do_not_matter("top-k+", "gate");
}

#[test]
fn a_search_of_parts() {
    stops_do_not_matter("comet+", "part");
}
