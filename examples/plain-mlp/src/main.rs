//! Recognises handwritten digits with your own model, a perceptron without a mixture, and the trainer of `moe-nn`.
#![allow(clippy::print_stdout, reason = "the results go to stdout")]

use std::error::Error;

use moe_core::batch::Inputs;
use moe_core::named_state;
use moe_core::random::chacha;
use moe_core::tape::{Tape, Vars};
use moe_data::LoadOptions;
use moe_nn::{
    Forward, Layer, Mlp, MlpOptions, Model, Module, OptimizerOptions, TrainOptions, evaluate, train,
};

/// Maps 64 pixels to one logit per digit.
struct Digits(Mlp);

impl Model for Digits {
    fn forward<'t>(&self, tape: &'t Tape, pass: &Forward<'_, 't>, inputs: &Inputs) -> Vars<'t> {
        let pixels = inputs.dense_rows().expect("pixels are dense");
        [self.0.forward(pass, tape.constant(pixels))].into_iter().collect()
    }
}

impl Module for Digits {
    named_state!(flat 0);
}

fn main() -> Result<(), Box<dyn Error>> {
    let data = moe_data::load("optdigits", &LoadOptions::default())?;
    let options = TrainOptions {
        seed: 1,
        batch_rows: 64,
        epochs: 15,
        patience: 5,
        task_weights: vec![1.0],
        optimizer: OptimizerOptions { learning_rate: 2e-3, ..OptimizerOptions::default() },
        ..TrainOptions::default()
    };
    println!("hidden layers  parameters  test loss  accuracy");
    for hidden in [vec![], vec![64], vec![64, 32]] {
        let name = format!("{hidden:?}");
        let mlp = MlpOptions { hidden, dropout: 0.2, ..MlpOptions::default() };
        let mut model = Digits(Mlp::new(64, 10, &mlp, &mut chacha(1, "init", 0)));
        train(&mut model, &data.train, &data.val, &options, &mut ())?;
        let test = evaluate(&model, &data.test, &options.task_weights, options.batch_rows);
        let loss = test.tasks[0].loss();
        let accuracy = test.tasks[0].value("accuracy").expect("a digit is one of ten classes");
        println!("{name:<13}  {:>10}  {loss:>9.4}  {accuracy:>8.4}", model.parameter_count());
    }
    Ok(())
}
