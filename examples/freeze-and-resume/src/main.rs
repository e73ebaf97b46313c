//! Trains, interrupts and resumes a mixture, then continues to train only its heads with all other parameters frozen.
#![allow(clippy::print_stdout, reason = "the results go to stdout")]

use std::error::Error;
use std::path::Path;

use moe_data::{Dataset, LoadOptions};
use moe_nn::{
    EpochRecord, Mixture, MixtureDescription, Module, Observer, RunDir, RunInfo, TrainOptions,
    TrainState, Weights, continue_training, evaluate,
};
use moe_routers::Registry;

/// Stops training after an epoch, as a crash would.
struct CrashAfter(usize);

impl Observer for CrashAfter {
    fn on_epoch(&mut self, record: &EpochRecord, _state: &TrainState) -> Result<(), String> {
        if record.epoch == self.0 { Err("crash".into()) } else { Ok(()) }
    }
}

/// Creates the run in `path` with `model` or opens it, and trains it to its end.
fn train(
    path: &Path,
    model: &mut Mixture,
    data: &Dataset,
    options: &TrainOptions,
    observer: &mut dyn Observer,
) -> Result<(), Box<dyn Error>> {
    let (mut dir, state) = if RunDir::is_run(path) {
        RunDir::open(path)?
    } else {
        let state = TrainState::new(model, options.optimizer.clone());
        (RunDir::create(path, RunInfo::default(), &state)?, state)
    };
    let both = &mut (&mut dir, observer);
    continue_training(model, state, &data.train, &data.val, options, both)?;
    Ok(dir.finish()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let data = moe_data::load("optdigits", &LoadOptions::default())?;
    let description: MixtureDescription = serde_json::from_value(serde_json::json!({
        "input": data.input, "tasks": data.tasks, "embedding_width": 0, "experts": 8, "k": 2,
        "expert_width": 16, "expert_dropout": 0.1, "head_widths": [], "router": "top-k",
    }))?;
    let build = || description.build(&Registry::standard(), 1);
    let options = TrainOptions { seed: 1, epochs: 6, batch_rows: 64, ..TrainOptions::default() };
    let accuracy = |model: &Mixture| {
        let test = evaluate(model, &data.test, &[1.0], 256);
        test.tasks[0].value("accuracy").expect("a digit is one of ten classes")
    };
    let place = tempfile::tempdir()?;
    let path = |name| place.path().join(name);

    let mut whole = build()?;
    train(&path("whole"), &mut whole, &data, &options, &mut ())?;
    let crash = train(&path("cut"), &mut build()?, &data, &options, &mut CrashAfter(3));
    println!("interrupted: {}", crash.expect_err("the observer stops training"));
    let mut resumed = build()?;
    train(&path("cut"), &mut resumed, &data, &options, &mut ())?;
    println!("resumed:     the same weights: {}", Weights::of(&resumed) == Weights::of(&whole));
    println!("test:        accuracy {:.4}", accuracy(&resumed));

    let frozen = resumed.set_frozen("", true) - resumed.set_frozen("heads", false);
    train(&path("heads"), &mut resumed, &data, &options, &mut ())?;
    println!("heads alone: accuracy {:.4}, {frozen} parameters frozen", accuracy(&resumed));
    Ok(())
}
