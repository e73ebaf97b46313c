//! What the papers promise of their routers, on rows that were planted for experts.

use moe_core::batch::BatchSource;
use moe_core::tape::Tape;
use moe_core::{Pass, Real};
use moe_data::{Dataset, LoadOptions};
use moe_nn::{
    History, Mixture, MixtureDescription, Model, OptimizerOptions, TrainOptions, evaluate, train,
};
use moe_routers::{Registry, Value};

const EXPERTS: usize = 8;
const K: usize = 2;

fn data() -> Dataset {
    let options = LoadOptions {
        train_rows: Some(6000),
        val_rows: Some(1000),
        test_rows: Some(1),
        ..LoadOptions::default()
    };
    moe_data::load("synthetic", &options).unwrap()
}

fn trained(data: &Dataset, router: &str, parameters: &[(&str, f64)]) -> (Mixture, History) {
    let parameters = parameters.iter().map(|&(name, value)| (name.into(), Value::Real(value)));
    let description = MixtureDescription::new(data.input.clone(), data.tasks.clone())
        .with_embedding_width(1)
        .with_experts(EXPERTS)
        .with_k(K)
        .with_expert_hidden_widths(&[])
        .with_expert_width(16)
        .with_expert_dropout(0.0)
        .with_head_widths(&[])
        .with_router(router)
        .with_router_parameters(parameters.collect());
    let options = TrainOptions {
        seed: 1,
        batch_rows: 256,
        epochs: 80,
        patience: 80,
        optimizer: OptimizerOptions { learning_rate: 5e-3, ..OptimizerOptions::default() },
        ..TrainOptions::default()
    };
    let mut model = description.build(&Registry::standard(), 1).unwrap();
    let history = train(&mut model, &data.train, &data.val, &options, &mut ()).unwrap();
    (model, history)
}

#[test]
fn comet_comes_to_use_at_most_k_experts_and_computes_no_more() {
    let data = data();
    let share = |parameters: &[(&str, f64)]| {
        let (model, history) = trained(&data, "comet", parameters);
        let gate = &evaluate(&model, &data.val, &[1.0], 500).gates[0];
        let (first, last) = (&history.epochs[0], history.epochs.last().unwrap());
        // Slots of a training step per row, in the first and the last epoch.
        let slots = [first, last].map(|record| record.gates[0].experts_per_row);
        (gate.share_up_to(K), slots)
    };
    let (saturated, [before, after]) = share(&[("gamma", 0.003), ("entropy", 0.3)]);
    assert!(saturated >= 0.99, "{saturated}");
    assert!(after <= K as f64 && after < before + 0.1, "{before} {after}");
    // Negative control: wide splits without the entropy term go through many leaves.
    let (soft, [_, slots]) = share(&[("gamma", 1.0), ("entropy", 0.0)]);
    assert!(soft < 0.5 && slots > 1.5 * K as f64, "{soft} {slots}");
}

/// The mean over validation rows of the softmax mass outside of the K largest.
fn mass_outside(data: &Dataset, model: &Mixture) -> f64 {
    let batch = data.val.batch(&(0..data.val.rows() as u32).collect::<Vec<_>>());
    let tape = Tape::inference();
    let output = model.run(&tape, &Pass::inference(&batch), &batch.inputs);
    let gates = output.layers[0].gates[0].to_dense();
    let outside = |row: usize| -> f64 {
        let mut weights: Vec<Real> = gates.row(row).to_vec();
        weights.sort_by(|a, b| b.total_cmp(a));
        weights[K..].iter().map(|&weight| f64::from(weight)).sum()
    };
    (0..batch.rows()).map(outside).sum::<f64>() / batch.rows() as f64
}

#[test]
fn trimmed_lasso_lowers_the_mass_outside_of_the_largest() {
    let data = data();
    let [free, pressed] = [0.0, 1.0].map(|coefficient| {
        let (model, _) = trained(&data, "softmax", &[("trimmed-lasso", coefficient)]);
        mass_outside(&data, &model)
    });
    assert!(pressed < 0.3 * free, "{pressed} with, {free} without");
}
