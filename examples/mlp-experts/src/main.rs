//! Classifies two overlaid digits, one task each, with a mixture whose experts have a hidden layer and with one whose
//! experts have none.
#![allow(clippy::print_stdout, reason = "the results go to stdout")]

use std::error::Error;

use moe_data::LoadOptions;
use moe_nn::{MixtureDescription, Module, OptimizerOptions, TrainOptions, evaluate, train};
use moe_routers::Registry;

fn main() -> Result<(), Box<dyn Error>> {
    let load = LoadOptions {
        train_rows: Some(3000),
        val_rows: Some(1000),
        test_rows: Some(1000),
        ..LoadOptions::default()
    };
    let data = moe_data::load("multi-optdigits", &load)?;
    let options = TrainOptions {
        seed: 1,
        batch_rows: 128,
        epochs: 12,
        patience: 5,
        task_weights: vec![1.0; data.tasks.len()],
        optimizer: OptimizerOptions { learning_rate: 2e-3, ..OptimizerOptions::default() },
        ..TrainOptions::default()
    };
    println!("layers of an expert  parameters  experts/row  test loss  accuracies");
    for (layers, expert_hidden_widths) in [("144-32", vec![]), ("144-24-32", vec![24])] {
        let description = MixtureDescription::new(data.input.clone(), data.tasks.clone())
            .with_experts(8)
            .with_k(2)
            .with_expert_hidden_widths(&expert_hidden_widths)
            .with_expert_width(32)
            .with_expert_dropout(0.0)
            .with_head_widths(&[])
            .with_router("top-k");
        let mut model = description.build(&Registry::standard(), 1)?;
        train(&mut model, &data.train, &data.val, &options, &mut ())?;
        let test = evaluate(&model, &data.test, &options.task_weights, options.batch_rows);
        let accuracies = test.tasks.iter().map(|task| {
            format!("{:.4}", task.value("accuracy").expect("a digit is one of ten classes"))
        });
        let experts_per_row = test.routing.as_ref().map_or(0.0, |stats| stats.experts_per_row());
        println!(
            "{layers:<19}  {:>10}  {experts_per_row:>11.2}  {:>9.4}  {}",
            model.parameter_count(),
            test.loss,
            accuracies.collect::<Vec<_>>().join(" ")
        );
    }
    Ok(())
}
