//! Gate sets to test and how to change their parameters.
#![allow(dead_code)] // each suite uses its part

use std::collections::BTreeMap;

use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::tape::{Gradient, Gradients, Tape, Var};
use moe_core::{Mode, Pass, Real, StateRef, Tensor, random};
use moe_routers::{GateSet, GateSpec, Registry, Routing, Value};
use proptest::test_runner::{Config, FileFailurePersistence};

/// Whether numbers are doubles in this build.
pub(crate) const DOUBLE: bool = size_of::<Real>() == 8;

/// That many cases; failing ones are kept beside the suite's source, to be committed.
pub(crate) fn cases(count: u32) -> Config {
    let kept = FileFailurePersistence::WithSource("proptest-regressions");
    Config { failure_persistence: Some(Box::new(kept)), ..Config::with_cases(count) }
}

/// Draws for the suite: any number of independent streams under one seed.
pub(crate) fn rng(seed: u64, stream: u64) -> ChaCha8Rng {
    random::chacha(seed, "tests", stream)
}

/// A router of the standard registry with these parameters.
pub(crate) fn build(
    id: &str,
    spec: &GateSpec,
    gates: usize,
    parameters: &[(&str, Value)],
) -> Box<dyn GateSet> {
    let parameters: BTreeMap<String, Value> =
        parameters.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    Registry::standard().get(id).unwrap().build(spec, gates, &parameters).unwrap()
}

/// Routes these rows, whose ids are their positions.
pub(crate) fn route<'t>(gates: &dyn GateSet, x: Var<'t>, mode: Mode) -> Vec<Routing<'t>> {
    let ids: Vec<u64> = (0..x.shape()[0] as u64).collect();
    let pass = Pass { mode, seed: 3, step: 0, epoch: 0, row_ids: &ids, keys: &ids, experts: None };
    gates.route(&pass, x)
}

/// Every parameter by name.
pub(crate) fn parameters(gates: &dyn GateSet) -> BTreeMap<String, Tensor> {
    let mut found = BTreeMap::new();
    gates.visit(&mut |name, state| {
        found.insert(name.to_string(), state.tensor().clone());
    });
    found
}

/// Replaces the parameter `name`.
pub(crate) fn set(gates: &mut dyn GateSet, name: &str, value: &Tensor) {
    let mut found = false;
    gates.visit_mut(&mut |visited, mut state| {
        if visited == name {
            assert_eq!(state.tensor_mut().shape(), value.shape(), "{name}");
            *state.tensor_mut() = value.clone();
            found = true;
        }
    });
    assert!(found, "no parameter {name}");
}

/// The gradient of every parameter by name, zeros where there is none.
pub(crate) fn gradients_of(gates: &dyn GateSet, gradients: &Gradients) -> BTreeMap<String, Tensor> {
    let mut found = BTreeMap::new();
    gates.visit(&mut |name, state| {
        let StateRef::Parameter(parameter) = state else { return };
        let zeros = || Tensor::zeros(*parameter.value().shape());
        let gradient = gradients.get(parameter).cloned().map_or_else(zeros, Gradient::into_dense);
        found.insert(name.to_string(), gradient);
    });
    found
}

/// The rows `picked` of a matrix, in that order.
pub(crate) fn pick_rows(matrix: &Tensor, picked: &[usize]) -> Tensor {
    let rows = picked.iter().flat_map(|&row| matrix.row(row)).copied().collect();
    Tensor::new([picked.len(), matrix.cols()], rows)
}

pub(crate) fn bits(tensor: &Tensor) -> Vec<u64> {
    tensor.as_slice().iter().map(|&v| f64::from(v).to_bits()).collect()
}

/// Rows from a box of this half-width.
pub(crate) fn rows(count: usize, width: usize, bound: f64, seed: u64) -> Tensor {
    random::uniform([count, width], bound, &mut rng(seed, 0))
}

/// Half the distance of a central difference.
pub(crate) const STEP: Real = if DOUBLE { 1e-5 } else { 1e-2 };

/// The weights of all gates times random numbers, plus all auxiliary losses: on the tape and as a value.
pub(crate) fn objective(set: &dyn GateSet, x: &Tensor, seed: u64) -> (f64, Vec<(String, Tensor)>) {
    let tape = Tape::new();
    let input = tape.variable(x.clone());
    let mut total = tape.variable(Tensor::scalar(0.0));
    for (gate, routing) in (0..).zip(route(set, input, Mode::Train)) {
        let shape = [routing.assignments.pairs()];
        let factors = random::uniform(shape, 1.0, &mut rng(seed, 50 + gate));
        total = total + (routing.weights * tape.constant(factors)).sum();
        total = moe_routers::aux_loss::total_loss(total, &routing.aux_losses);
    }
    let gradients = tape.backward(total);
    let mut all: Vec<_> = gradients_of(set, &gradients).into_iter().collect();
    all.push(("x".into(), gradients.wrt(input).unwrap_or(Tensor::zeros(*x.shape()))));
    (f64::from(total.value().item()), all)
}

/// Compares the gradients, multiplied by `factor`, with central differences for x and every parameter.
pub(crate) fn check_gradients(
    set: &mut dyn GateSet,
    x: &Tensor,
    seed: u64,
    factor: Real,
) -> Result<(), String> {
    let (_, gradients) = objective(set, x, seed);
    let parameters = parameters(set);
    // Numbers are of size one. Single precision leaves 1e-7 / 1e-2 of rounding and 1e-4 of curvature.
    let allowed = if DOUBLE { 1e-8 } else { 3e-3 };
    for (name, gradient) in gradients {
        let start = parameters.get(&name).unwrap_or(x).clone();
        for element in 0..start.len() {
            let mut at = |distance: Real| {
                let mut moved = start.clone();
                moved.as_mut_slice()[element] += distance;
                let value = moved.as_slice()[element];
                let result = if name == "x" {
                    objective(set, &moved, seed).0
                } else {
                    self::set(set, &name, &moved);
                    objective(set, x, seed).0
                };
                (f64::from(value), result)
            };
            let ((left, low), (right, high)) = (at(-STEP), at(STEP));
            at(0.0);
            let numeric = (high - low) / (right - left);
            let analytic = f64::from(gradient.as_slice()[element] * factor);
            if (analytic - numeric).abs() > allowed {
                return Err(format!("{name}[{element}]: {analytic}, by differences {numeric}"));
            }
        }
    }
    Ok(())
}
