//! Fifty training steps of the MovieLens model against PyTorch, recorded by `recorded/movielens_steps.py` (which
//! says how weights, batches and masks are made, and what is stored).

#[path = "common/movielens.rs"]
mod movielens;

use std::collections::BTreeMap;

use moe_core::batch::TaskKind;
use moe_core::tape::Tape;
use moe_core::{Mode, Pass, Real, Tensor};
use moe_nn::{Model, Module, Optimizer, OptimizerOptions};
use movielens::{SEED, batch, initial, model, word};
use serde::Deserialize;

const BUCKETS: usize = 64;

#[derive(Deserialize)]
struct Recording {
    losses: Vec<f64>,
    slots: Vec<usize>,
    parameters: BTreeMap<String, RecordedParameter>,
}

#[derive(Deserialize)]
struct RecordedParameter {
    norm: f64,
    moved: f64,
    sketch: Vec<f64>,
}

fn distance(a: impl Iterator<Item = f64>, b: impl Iterator<Item = f64>) -> f64 {
    a.zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

fn sketch(name: &str, tensor: &Tensor) -> Vec<f64> {
    let purpose = format!("sketch.{name}");
    let mut sums = vec![0.0; BUCKETS];
    for (i, &value) in tensor.as_slice().iter().enumerate() {
        let sign = if word(&purpose, i) & 1 == 1 { 1.0 } else { -1.0 };
        sums[i % BUCKETS] += sign * f64::from(value);
    }
    sums
}

fn repeats(recording: &str, dropout: Real) {
    let recording: Recording = serde_json::from_str(recording).unwrap();
    let mut model = model(2, dropout);
    let mut optimizer = Optimizer::new(OptimizerOptions::default());
    let double = size_of::<Real>() == 8;

    for (step, &expected) in recording.losses.iter().enumerate() {
        let (row_ids, inputs, targets) = batch(step as u64);
        let pass = Pass {
            mode: Mode::Train,
            seed: SEED,
            step: step as u64,
            epoch: 0,
            row_ids: &row_ids,
            keys: &row_ids,
            groups: None,
            batch_rows: None,
            experts: None,
        };
        let tape = Tape::new();
        let output = model.run(&tape, &pass, &inputs);
        let assignments: Vec<_> = output.gates().map(|(_, _, r)| &r.assignments).collect();
        let slots = moe_core::dispatch::ExpertPlan::new(&assignments).slots();
        let terms: Vec<_> = output
            .predictions
            .iter()
            .zip(&targets)
            .zip([TaskKind::binary(), TaskKind::regression()])
            .map(|((prediction, target), kind)| kind.loss(*prediction, target).scale(0.5))
            .collect();
        let loss = terms[0] + terms[1];
        let value = f64::from(loss.value().item());
        let tolerance = if double { 1e-9 } else { 1e-4 };
        assert!(
            (value - expected).abs() <= tolerance * expected,
            "step {step}: loss {value}, PyTorch {expected}"
        );
        assert_eq!(slots, recording.slots[step], "slots of step {step}");
        let gradients = tape.backward(loss);
        drop(output);
        drop(tape);
        optimizer.step(&mut model, &gradients).unwrap();
    }

    let mut seen = 0;
    model.visit(&mut |name, state| {
        let recorded = &recording.parameters[name];
        let tensor = state.tensor();
        let apart = distance(sketch(name, tensor).into_iter(), recorded.sketch.iter().copied());
        // In double precision the difference is held against how far the parameter moved.
        let allowed = if double { 1e-9 * recorded.moved } else { 1e-3 * recorded.norm };
        assert!(apart <= allowed, "{name}: {apart} apart from PyTorch, {allowed} allowed");
        let start = initial(name, tensor);
        let values = |t: &Tensor| t.as_slice().iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let moved = distance(values(tensor).into_iter(), values(&start).into_iter());
        assert!((moved - recorded.moved).abs() <= 1e-2 * recorded.moved, "{name} moved {moved}");
        seen += 1;
    });
    assert_eq!(seen, recording.parameters.len());
}

#[test]
fn without_dropout() {
    repeats(include_str!("recorded/movielens_plain.json"), 0.0);
}

#[test]
fn with_recorded_masks() {
    repeats(include_str!("recorded/movielens_dropout.json"), 0.5);
}
