//! Tests of the expert bank alone.

mod common;

use std::sync::Arc;

use approx::assert_relative_eq;
use moe_core::dispatch::{Assignments, ExpertPlan};
use moe_core::random::uniform;
use moe_core::tape::Tape;
use moe_core::{Mode, Pass, Real, Tensor};
use moe_nn::{Activation, ExpertBank, Experts, Forward, Layer, Mlp, MlpOptions, Module};

const WIDTH: usize = 400;

/// Two experts that compute the same: x + 1 in every column, for rows of one number.
fn twins(dropout: Real) -> ExpertBank {
    let options = MlpOptions {
        output_activation: Activation::Relu,
        output_dropout: dropout,
        name: "experts".into(),
        ..MlpOptions::default()
    };
    let mut bank = ExpertBank::new(2, 1, WIDTH, &options, &mut common::rng(1, 0));
    bank.visit_mut(&mut |_, mut state| {
        let tensor = state.tensor_mut();
        *tensor = Tensor::full(*tensor.shape(), 1.0);
    });
    bank
}

/// Outputs of both experts for rows 2 and 3, expert by expert, at this step.
fn outputs(bank: &ExpertBank, mode: Mode, step: u64) -> Vec<Vec<Real>> {
    let plan = Arc::new(ExpertPlan::new(&[&Assignments::dense(2, 2)]));
    let row_ids = [8, 9];
    let pass = Pass {
        mode,
        seed: 1,
        step,
        epoch: 0,
        row_ids: &row_ids,
        keys: &row_ids,
        groups: None,
        batch_rows: None,
        experts: None,
    };
    let tape = Tape::inference();
    let x = tape.constant(Tensor::new([2, 1], vec![2.0, 3.0]));
    let slots = bank.forward(&pass, x, &plan).value();
    (0..slots.rows()).map(|slot| slots.row(slot).to_vec()).collect()
}

#[test]
fn every_row_expert_and_step_drops_other_outputs() {
    let bank = twins(0.25);
    let mut masks: Vec<Vec<bool>> = Vec::new();
    for step in 0..2 {
        let slots = outputs(&bank, Mode::Train, step);
        assert_eq!(slots, outputs(&bank, Mode::Train, step), "the same draws again");
        // Slots are in the order (expert 0: rows 2, 3), (expert 1: rows 2, 3).
        for (slot, whole) in slots.iter().zip([3.0, 4.0, 3.0, 4.0]) {
            let mask: Vec<bool> = slot.iter().map(|&v| v != 0.0).collect();
            for &value in slot.iter().filter(|&&v| v != 0.0) {
                assert_relative_eq!(f64::from(value), whole / 0.75, max_relative = 1e-6);
            }
            // 300 of 400 are expected to stay, with a standard deviation of 8.7.
            let kept = mask.iter().filter(|&&kept| kept).count();
            assert!((250..350).contains(&kept), "{kept} of {WIDTH} kept");
            assert!(!masks.contains(&mask), "two slots drop the same");
            masks.push(mask);
        }
    }
}

#[test]
fn nothing_is_dropped_in_inference_or_at_rate_zero() {
    let expected = [3.0, 4.0, 3.0, 4.0].map(|v| vec![v; WIDTH]);
    assert_eq!(outputs(&twins(0.25), Mode::Infer, 0), expected);
    assert_eq!(outputs(&twins(0.0), Mode::Train, 0), expected);
}

#[test]
fn negative_outputs_are_cut_off() {
    let mut bank = twins(0.0);
    common::set(&mut bank, "bias", WIDTH + 7, -9.0);
    let slots = outputs(&bank, Mode::Infer, 0);
    assert_eq!((slots[0][7], slots[2][7], slots[3][7]), (3.0, 0.0, 0.0));
}

#[test]
#[should_panic(expected = "dropout rate 1 is not in [0, 1)")]
fn dropping_everything_is_refused() {
    let _ = twins(1.0);
}

/// Packed weights give the bits of a pass that is recorded, and do not outlive a change of the weights.
#[test]
fn packed_weights_follow_the_weights() {
    const ROWS: usize = 40;
    let options = MlpOptions { hidden: vec![48], ..MlpOptions::default() };
    let mut bank = ExpertBank::new(3, 24, 32, &options, &mut common::rng(2, 0));
    let mut mlp = Mlp::new(24, 32, &options, &mut common::rng(3, 0));
    let x = uniform([ROWS, 24], 1.0, &mut common::rng(4, 0));
    let chosen = (0..ROWS as u32).map(|row| row % 3).collect();
    let plan = Arc::new(ExpertPlan::new(&[&Assignments::fixed(3, 1, chosen)]));
    let keys = [0; ROWS];
    let check = |bank: &ExpertBank, mlp: &Mlp| {
        let pass = Pass::of_keys(&keys);
        let [found, recorded] = [Tape::inference(), Tape::new()].map(|tape| {
            let x = tape.constant(x.clone());
            [
                bank.forward(&pass, x, &plan).value(),
                mlp.forward(&Forward::unrecorded(pass), x).value(),
            ]
        });
        assert_eq!(found, recorded);
    };
    check(&bank, &mlp);
    bank.pack_weights();
    mlp.pack_weights();
    check(&bank, &mlp);
    for module in [&mut bank as &mut dyn Module, &mut mlp] {
        module.visit_mut(&mut |_, mut state| {
            state.tensor_mut().as_mut_slice().iter_mut().for_each(|value| *value *= -2.0);
        });
    }
    check(&bank, &mlp);
}
