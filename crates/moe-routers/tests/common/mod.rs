//! Gate sets to test and how to change their parameters.
#![allow(dead_code)] // each suite uses its part

use std::collections::BTreeMap;

use moe_core::dispatch::Assignments;
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::tape::{Gradient, Gradients, Tape, Var};
use moe_core::{Mode, Pass, Real, StateRef, Tensor, random};
use moe_routers::{GateSet, GateSpec, Registry, Routings, Value};
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

/// Routes these rows, whose ids are their positions, and whose planted groups are the positions modulo 5.
pub(crate) fn route<'t>(gates: &dyn GateSet, x: Var<'t>, mode: Mode) -> Routings<'t> {
    let ids: Vec<u64> = (0..x.shape()[0] as u64).collect();
    let groups = groups_of(&ids);
    let pass = Pass {
        mode,
        seed: 3,
        step: 0,
        epoch: 0,
        row_ids: &ids,
        keys: &ids,
        groups: Some(&groups),
        batch_rows: None,
        experts: None,
    };
    gates.route(&pass, x)
}

/// The planted group of each row: its id modulo 5.
pub(crate) fn groups_of(ids: &[u64]) -> Vec<u32> {
    ids.iter().map(|id| (id % 5) as u32).collect()
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

/// What a gate set gives for some rows in training.
pub(crate) struct Objective {
    /// The weights of all gates times random numbers, plus all auxiliary losses.
    pub(crate) value: f64,
    /// With respect to every parameter and to x.
    pub(crate) gradients: Vec<(String, Tensor)>,
    /// Of each gate, with the pair of the largest weight in each row, which decides the loss `gshard`.
    pub(crate) chosen: Vec<(Assignments, Vec<Option<usize>>)>,
}

pub(crate) fn objective(set: &dyn GateSet, x: &Tensor, seed: u64) -> Objective {
    let tape = Tape::new();
    let input = tape.variable(x.clone());
    let mut total = tape.variable(Tensor::scalar(0.0));
    let mut chosen = Vec::new();
    for (gate, routing) in (0..).zip(route(set, input, Mode::Train)) {
        // A number for each (row, expert), so that a changed choice does not shift the others.
        let shape = [routing.assignments.rows(), routing.assignments.num_experts()];
        let factors = random::uniform(shape, 1.0, &mut rng(seed, 50 + gate));
        let factors = tape.constant(factors).gather_assigned(&routing.assignments);
        total = total + (routing.weights * factors).sum();
        total = moe_routers::aux_loss::total_loss(total, &routing.aux_losses);
        let weights = routing.weights.value();
        let of = |pair: usize| weights.as_slice()[pair];
        let largest =
            |row| routing.assignments.pairs_of(row).max_by(|&a, &b| of(a).total_cmp(&of(b)));
        let largest = (0..x.rows()).map(largest).collect();
        chosen.push((routing.assignments, largest));
    }
    let found = tape.backward(total);
    let mut gradients: Vec<_> = gradients_of(set, &found).into_iter().collect();
    gradients.push(("x".into(), found.wrt(input).unwrap_or(Tensor::zeros(*x.shape()))));
    Objective { value: f64::from(total.value().item()), gradients, chosen }
}

/// Compares the gradients, multiplied by `factor`, with central differences for x and every parameter, where the choice
/// of experts does not change. Returns how many were compared.
pub(crate) fn check_gradients(
    set: &mut dyn GateSet,
    x: &Tensor,
    seed: u64,
    factor: Real,
) -> Result<usize, String> {
    let here = objective(set, x, seed);
    let parameters = parameters(set);
    // Numbers are of size one. Single precision leaves 1e-7 / 1e-2 of rounding and 1e-4 of curvature.
    let allowed = if DOUBLE { 1e-8 } else { 1e-2 };
    let mut compared = 0;
    for (name, gradient) in here.gradients {
        let start = parameters.get(&name).unwrap_or(x).clone();
        for element in 0..start.len() {
            let mut at = |distance: Real| {
                let mut moved = start.clone();
                moved.as_mut_slice()[element] += distance;
                let value = moved.as_slice()[element];
                let there = if name == "x" {
                    objective(set, &moved, seed)
                } else {
                    self::set(set, &name, &moved);
                    objective(set, x, seed)
                };
                (f64::from(value), there)
            };
            let ((left, low), (right, high)) = (at(-STEP), at(STEP));
            at(0.0);
            if low.chosen != here.chosen || high.chosen != here.chosen {
                continue;
            }
            let numeric = (high.value - low.value) / (right - left);
            let analytic = f64::from(gradient.as_slice()[element] * factor);
            if (analytic - numeric).abs() > allowed * (1.0 + analytic.abs()) {
                return Err(format!("{name}[{element}]: {analytic}, by differences {numeric}"));
            }
            compared += 1;
        }
    }
    Ok(compared)
}
