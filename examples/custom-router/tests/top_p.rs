//! The router as a user of the workspace would test one: through the registry alone.

use std::collections::BTreeMap;

use custom_router::TopP;
use moe_core::rand::Rng;
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::random::{chacha, uniform};
use moe_core::tape::{Tape, Var};
use moe_core::testing::gradcheck;
use moe_core::{Mode, Pass, Real, Tensor};
use moe_routers::{GateSet, GateSpec, Registry, Routings, Value};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};

/// That many cases; failing ones are kept beside the suite's source, to be committed.
fn cases(count: u32) -> Config {
    let kept = FileFailurePersistence::WithSource("proptest-regressions");
    Config { failure_persistence: Some(Box::new(kept)), ..Config::with_cases(count) }
}

fn registry() -> Registry {
    let mut registry = Registry::standard();
    registry.register(TopP::entry()).unwrap();
    registry
}

/// Two gates from `inputs` numbers to `experts`.
fn gates(inputs: usize, experts: usize, given: &[(&str, f64)]) -> Box<dyn GateSet> {
    let spec = GateSpec { inputs, experts, k: 1, seed: 3, gate: 0 };
    let value = |&(name, value): &(&str, f64)| (name.to_string(), Value::Real(value));
    let given: BTreeMap<_, _> = given.iter().map(value).collect();
    registry().get("top-p").unwrap().build(&spec, 2, &given).unwrap()
}

/// Gates whose logits are their inputs.
fn gates_on_logits(experts: usize, p: f64) -> Box<dyn GateSet> {
    let mut gates = gates(experts, experts, &[("p", p)]);
    gates.visit_mut(&mut |name, mut state| {
        let identity = |i| if i / experts == i % experts { 1.0 } else { 0.0 };
        if name.ends_with("weight") {
            *state.tensor_mut() = Tensor::from_fn([experts, experts], identity);
        }
    });
    gates
}

/// Before the softmax.
fn logits_of_first_gate(gates: &dyn GateSet, x: &Tensor) -> Tensor {
    let tape = Tape::inference();
    let mut logits = tape.constant(x.clone());
    gates.visit(&mut |name, state| match name {
        "0.weight" => logits = logits.matmul(tape.constant(state.tensor().clone())),
        "0.bias" => logits = logits + tape.constant(state.tensor().clone()),
        _ => {}
    });
    logits.value()
}

/// The routings of both gates in training.
fn route<'t>(gates: &dyn GateSet, x: Var<'t>) -> Routings<'t> {
    let row_ids: Vec<u64> = (0..x.shape()[0] as u64).collect();
    let (row_ids, keys) = (&row_ids[..], &row_ids[..]);
    gates.route(
        &Pass {
            mode: Mode::Train,
            seed: 0,
            step: 0,
            epoch: 0,
            row_ids,
            keys,
            groups: None,
            batch_rows: None,
            experts: None,
        },
        x,
    )
}

fn softmax(logits: &[Real]) -> Vec<f64> {
    let max = logits.iter().copied().fold(Real::NEG_INFINITY, Real::max);
    let powers: Vec<f64> = logits.iter().map(|z| f64::from(z - max).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

fn mass(probabilities: &[f64], experts: impl IntoIterator<Item = usize>) -> f64 {
    experts.into_iter().map(|expert| probabilities[expert]).sum()
}

/// A row of logits: far apart, close together, or with many equal ones.
fn logits(experts: usize, rng: &mut ChaCha8Rng) -> Vec<Real> {
    let (scale, step) = [(90.0, 0.0), (1.0, 0.0), (1.0, 1.0)][rng.random_range(0..3)];
    let draw = |_| {
        let z: f64 = rng.random_range(-scale..scale);
        (if step > 0.0 { (z / step).round() * step } else { z }) as Real
    };
    (0..experts).map(draw).collect()
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn no_smaller_set_of_experts_reaches_p(
        experts in 1usize..8, rows in 0usize..4, p in 0.01..=0.99, seed: u64,
    ) {
        let mut rng = chacha(seed, "tests", 0);
        let table: Vec<_> = (0..rows).flat_map(|_| logits(experts, &mut rng)).collect();
        let x = Tensor::new([rows, experts], table);
        let tape = Tape::inference();
        let routings = route(&*gates_on_logits(experts, p), tape.constant(x.clone()));
        prop_assert_eq!(&routings[0].assignments, &routings[1].assignments);

        let (assignments, weights) = (&routings[0].assignments, routings[0].weights.value());
        // Sums of at most 7 probabilities in the precision of the build.
        let slack = 16.0 * f64::from(Real::EPSILON);
        for row in 0..rows {
            let probabilities = softmax(x.row(row));
            let chosen: Vec<usize> = assignments.of_row(row).iter().map(|&e| e as usize).collect();
            let reached = mass(&probabilities, chosen.iter().copied());
            prop_assert!(reached >= p - slack, "{chosen:?} of {probabilities:?}");
            for set in 0u32..1 << experts {
                if (set.count_ones() as usize) < chosen.len() {
                    let smaller = (0..experts).filter(|expert| set >> expert & 1 == 1);
                    prop_assert!(mass(&probabilities, smaller) < p + slack);
                } else if set.count_ones() as usize == chosen.len() {
                    let other = (0..experts).filter(|expert| set >> expert & 1 == 1);
                    prop_assert!(mass(&probabilities, other) <= reached + slack);
                }
            }
            let mut sum = 0.0;
            for (pair, expert) in assignments.pairs_of(row).zip(chosen) {
                let weight = f64::from(weights.as_slice()[pair]);
                prop_assert!(weight > 0.0 && (weight - probabilities[expert] / reached).abs() <= slack);
                sum += weight;
            }
            prop_assert!((sum - 1.0).abs() <= slack);
        }
    }

    #[test]
    fn gradients_of_weights_and_entropy(seed: u64, p in 0.2..0.9) {
        const EXPERTS: usize = 5;
        // Further than a step of the differences moves a probability.
        const AWAY_FROM_A_FLIP: f64 = 0.03;
        let x = uniform([2, 3], 1.5, &mut chacha(seed, "tests", 1));
        let gates = gates(3, EXPERTS, &[("p", p), ("entropy", 0.7)]);
        let logits = logits_of_first_gate(&*gates, &x);
        let mut entropy = 0.0;
        for row in 0..2 {
            let mut sorted = softmax(logits.row(row));
            sorted.sort_by(|a, b| b.total_cmp(a));
            let count = (1..EXPERTS).find(|&count| mass(&sorted, 0..count) >= p).unwrap_or(EXPERTS);
            for count in [count - 1, count] {
                prop_assume!((mass(&sorted, 0..count) - p).abs() > AWAY_FROM_A_FLIP);
            }
            prop_assume!(count == EXPERTS || sorted[count - 1] - sorted[count] > AWAY_FROM_A_FLIP);
            entropy -= sorted.iter().map(|p| p * p.ln()).sum::<f64>();
        }
        let tape = Tape::new();
        let loss = route(&*gates, tape.constant(x.clone()))[0].aux_losses[0];
        let expected = 0.7 * entropy / 2.0;
        prop_assert_eq!(loss.name, "entropy");
        let difference = (f64::from(loss.value.value().item()) - expected).abs();
        prop_assert!(difference <= 32.0 * f64::from(Real::EPSILON));

        let (gates, inputs) = (&*gates, [x]);
        prop_assert_eq!(gradcheck(|_, v| route(gates, v[0])[0].weights, &inputs), Ok(()));
        prop_assert_eq!(
            gradcheck(|_, v| route(gates, v[0])[0].aux_losses[0].value, &inputs),
            Ok(())
        );
    }
}

#[test]
fn parameters_are_checked_and_gates_differ() {
    let registry = registry();
    let entry = registry.get("top-p").unwrap();
    let spec = GateSpec { inputs: 3, experts: 4, k: 99, seed: 3, gate: 0 };
    let refused = |key: &str, value| {
        let given = BTreeMap::from([(key.to_string(), value)]);
        entry.info().check(&spec, &given).unwrap_err().to_string()
    };
    let expected = "router top-p: p = 1.5 is not allowed; it must be a number from 0.01 to 0.99";
    assert_eq!(refused("p", Value::Real(1.5)), expected);
    assert!(refused("entrpy", Value::Int(1)).contains("did you mean \"entropy\"?"));

    let gates = entry.build(&spec, 2, &BTreeMap::new()).unwrap();
    let mut names = Vec::new();
    gates.visit(&mut |name, _| names.push(name.to_string()));
    assert_eq!(names, ["0.weight", "0.bias", "1.weight", "1.bias"]);
    let tape = Tape::new();
    let routings = route(&*gates, tape.constant(Tensor::full([1, 3], 1.0)));
    assert_ne!(routings[0].to_dense(), routings[1].to_dense());
    assert!(routings[0].aux_losses.is_empty(), "an entropy loss of coefficient 0");
}

#[test]
fn a_logit_that_is_no_number_shows_in_the_weights() {
    let tape = Tape::inference();
    let x = tape.constant(Tensor::new([1, 2], vec![Real::NAN, 0.0]));
    let weights = route(&*gates_on_logits(2, 0.5), x)[0].weights.value();
    assert!(weights.as_slice().iter().any(|weight| weight.is_nan()));
}
