//! What every router of the registry that chooses without draws must hold: `softmax` and `top-k`.

mod common;

use std::collections::BTreeSet;

use approx::{assert_abs_diff_eq, assert_relative_eq};
use common::{DOUBLE, bits, build, cases, pick_rows, rng, route};
use moe_core::rand::Rng;
use moe_core::rand::seq::SliceRandom;
use moe_core::tape::Tape;
use moe_core::{Mode, Pass, Real, StateMut, StateRef, Tensor, random};
use moe_routers::{
    Cardinality, GateSet, GateSpec, Gates, Registry, RouterInfo, Routing, Softmax, TopK,
    TotalWeight,
};
use proptest::prelude::*;

const IDS: [&str; 2] = ["softmax", "top-k"];

const SPEC: GateSpec = GateSpec { inputs: 5, experts: 6, k: 3, seed: 11, gate: 0 };

/// Experts per row.
fn per_row(id: &str, spec: &GateSpec) -> usize {
    if id == "softmax" { spec.experts } else { spec.k }
}

/// A gate set with biases away from zero, like one that has learnt.
fn learnt(id: &str, spec: &GateSpec, gates: usize) -> Box<dyn GateSet> {
    let mut set = build(id, spec, gates, &[]);
    let mut rng = rng(spec.seed, 1);
    set.visit_mut(&mut |_, mut state| {
        let tensor = state.tensor_mut();
        *tensor = random::uniform(*tensor.shape(), 1.0, &mut rng);
    });
    set
}

/// Rows from a box of this half-width.
fn rows(count: usize, width: usize, bound: f64, seed: u64) -> Tensor {
    random::uniform([count, width], bound, &mut rng(seed, 0))
}

/// What every routing must be: weights that sum to 1 over `k` experts of each row, ascending.
fn assert_sound(routing: &Routing<'_>, rows: usize, experts: usize, k: usize) {
    let assignments = &routing.assignments;
    assert_eq!((assignments.rows(), assignments.num_experts()), (rows, experts));
    assert_eq!((routing.observed.rows, &routing.observed.load), (rows, &assignments.load()));
    let weights = routing.weights.value();
    assert_eq!(weights.shape()[..], [rows * k]);
    for row in 0..rows {
        let chosen = assignments.of_row(row);
        assert_eq!(chosen.len(), k, "row {row}");
        assert!(chosen.is_sorted_by(|a, b| a < b), "row {row}: {chosen:?}");
        assert!(chosen.iter().all(|&e| (e as usize) < experts));
        let weights = &weights.as_slice()[assignments.pairs_of(row)];
        assert!(weights.iter().all(|w| (0.0..=1.0).contains(w)), "row {row}: {weights:?}");
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        assert_abs_diff_eq!(sum, 1.0, epsilon = 4.0 * f64::from(Real::EPSILON));
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn rows_have_k_experts_whose_weights_sum_to_one(
        count in 0usize..70, width in 1usize..9, experts in 1usize..12, k in 1usize..12,
        gates in 1usize..4, size in prop::sample::select(vec![0.0, 1e-3, 1.0, 30.0, 1e4]),
        seed in any::<u64>(),
    ) {
        let spec = GateSpec { inputs: width, experts, k: k.min(experts), seed, gate: 0 };
        for id in IDS {
            let set = learnt(id, &spec, gates);
            prop_assert_eq!((set.num_gates(), set.num_experts()), (gates, experts));
            for mode in [Mode::Train, Mode::Infer] {
                let tape = Tape::inference();
                // A bound must be positive: all-zero rows are a case of their own.
                let x = rows(count, width, 1.0, seed).map(|v| v * size as Real);
                let routings = route(&*set, tape.constant(x), mode);
                prop_assert_eq!(routings.len(), gates);
                for routing in &routings {
                    assert_sound(routing, count, experts, per_row(id, &spec));
                    prop_assert!(routing.aux_losses.is_empty());
                }
            }
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_weights_and_losses(
        count in 1usize..6, width in 1usize..5, experts in 1usize..6, k in 1usize..6,
        seed in any::<u64>(),
    ) {
        let spec = GateSpec { inputs: width, experts, k: k.min(experts), seed, gate: 0 };
        let x = rows(count, width, 1.0, seed);
        for id in IDS {
            let mut set = learnt(id, &spec, 2);
            if id == "top-k" {
                let parameters = [("load-balance", moe_routers::Value::Real(0.8))];
                let mut balanced = build(id, &spec, 2, &parameters);
                for (name, value) in common::parameters(&*set) {
                    common::set(&mut *balanced, &name, &value);
                }
                set = balanced;
            }
            let settled: Vec<usize> = (0..count)
                .filter(|&row| {
                    let row = pick_rows(&x, &[row]);
                    // A step moves the difference of two logits by less than this.
                    selection_margin(&*set, &row, per_row(id, &spec)) > 4.0 * STEP
                })
                .collect();
            let x = pick_rows(&x, &settled);
            check_gradients(&mut *set, &x, seed, 1.0).unwrap();
        }
    }
}

/// Half the distance of a central difference.
const STEP: Real = if DOUBLE { 1e-5 } else { 1e-2 };

/// Distance between the last chosen logit and the first one left out, over all rows and gates.
fn selection_margin(set: &dyn GateSet, x: &Tensor, k: usize) -> Real {
    let parameters = common::parameters(set);
    let tape = Tape::inference();
    let mut margin = Real::INFINITY;
    for gate in 0..set.num_gates() {
        let parameter = |name: &str| tape.constant(parameters[&format!("{gate}.{name}")].clone());
        let logits =
            tape.constant(x.clone()).linear(parameter("weight"), parameter("bias")).value();
        for row in 0..logits.rows() {
            let mut row = logits.row(row).to_vec();
            row.sort_by(|a, b| b.total_cmp(a));
            if k < row.len() {
                margin = margin.min(row[k - 1] - row[k]);
            }
        }
    }
    margin
}

/// The weights of all gates times random numbers, plus all auxiliary losses: on the tape and as a value.
fn objective(set: &dyn GateSet, x: &Tensor, seed: u64) -> (f64, Vec<(String, Tensor)>) {
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
    let mut all: Vec<_> = common::gradients_of(set, &gradients).into_iter().collect();
    all.push(("x".into(), gradients.wrt(input).unwrap_or(Tensor::zeros(*x.shape()))));
    (f64::from(total.value().item()), all)
}

/// Compares the gradients, multiplied by `factor`, with central differences for x and every parameter.
fn check_gradients(
    set: &mut dyn GateSet,
    x: &Tensor,
    seed: u64,
    factor: Real,
) -> Result<(), String> {
    let (_, gradients) = objective(set, x, seed);
    let parameters = common::parameters(set);
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
                    common::set(set, &name, &moved);
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

#[test]
fn a_wrong_gradient_is_noticed() {
    let x = rows(4, 5, 1.0, 1);
    for id in IDS {
        let factor = if DOUBLE { 1.0 + 1e-6 } else { 1.1 };
        let error = check_gradients(&mut *learnt(id, &SPEC, 2), &x, 1, factor);
        assert!(error.is_err(), "{id}");
    }
}

#[test]
fn the_same_call_gives_the_same_bits_on_any_number_of_threads() {
    let x = rows(300, 200, 1.0, 2);
    for id in IDS {
        let set = learnt(id, &GateSpec { inputs: 200, experts: 33, ..SPEC }, 2);
        let run = || {
            let tape = Tape::inference();
            let routings = route(&*set, tape.constant(x.clone()), Mode::Train);
            let of = |r: &Routing<'_>| (r.assignments.clone(), bits(&r.weights.value()));
            routings.iter().map(of).collect::<Vec<_>>()
        };
        let first = run();
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(run), first, "{id}: {threads} threads");
        }
    }
}

#[test]
fn a_row_is_routed_alike_in_any_batch() {
    let x = rows(150, 37, 1.0, 3);
    for id in IDS {
        let set = learnt(id, &GateSpec { inputs: 37, ..SPEC }, 2);
        // Experts and weights of each row, gates side by side.
        let routed = |picked: &[usize]| {
            let tape = Tape::inference();
            let routings = route(&*set, tape.constant(pick_rows(&x, picked)), Mode::Infer);
            let gates: Vec<Tensor> = routings.iter().map(Routing::to_dense).collect();
            let row = |r| gates.iter().flat_map(move |g| g.row(r)).map(|&v| f64::from(v).to_bits());
            (0..picked.len()).map(|r| row(r).collect()).collect::<Vec<Vec<u64>>>()
        };
        let mut order: Vec<usize> = (0..150).collect();
        let whole = routed(&order);
        for size in [1, 2, 63, 64, 65] {
            let parts: Vec<_> = order.chunks(size).flat_map(routed).collect();
            assert!(parts == whole, "{id}: {size} rows at a time");
        }
        order.shuffle(&mut rng(3, 1));
        for (&row, bits) in order.iter().zip(routed(&order)) {
            assert!(bits == whole[row], "{id}: row {row} in another order");
        }
    }
}

#[test]
fn large_logits_give_numbers() {
    // Logits of both signs up to 1e4: one-hot input rows pick them out of the weights.
    let spec = GateSpec { inputs: 3, experts: 5, k: 2, ..SPEC };
    let logits: [[Real; 5]; 3] = [
        [1e4, -1e4, 0.0, 1e4 - 1.0, 5.0],
        [-1e4, -1e4, -1e4, -1e4, -1e4],
        [1e4, 1e4, -1e4, 1e4, 1e4],
    ];
    let x = Tensor::from_fn([3, 3], |i| if i / 3 == i % 3 { 1.0 } else { 0.0 });
    for id in IDS {
        let mut set = build(id, &spec, 1, &[]);
        common::set(&mut *set, "0.weight", &Tensor::new([3, 5], logits.concat()));
        let tape = Tape::inference();
        let routing = route(&*set, tape.constant(x.clone()), Mode::Infer).remove(0);
        assert_sound(&routing, 3, 5, per_row(id, &spec));
        let dense = routing.to_dense();
        // 1e4 against 1e4 - 1: the logistic function of 1; all else vanishes.
        let expected = 1.0 / (1.0 + (-1f64).exp());
        assert_relative_eq!(f64::from(dense.row(0)[0]), expected, max_relative = 1e-6);
        let equal: &[Real] = if id == "softmax" { &[0.2; 5] } else { &[0.5, 0.5, 0.0, 0.0, 0.0] };
        assert_eq!(dense.row(1), equal, "of equal logits the first are chosen");
        assert!(dense.row(2)[2] == 0.0 && dense.row(2)[0] > 0.2);
        let (_, gradients) = objective(&*set, &x, 1);
        for (name, gradient) in gradients {
            assert!(gradient.as_slice().iter().all(|g| g.is_finite()), "{id}: {name}");
        }
    }
}

#[test]
fn weights_are_the_softmax_over_the_chosen_logits() {
    // Logits ln 2, ln 3, ln 5, 0 for a row of one 1: all experts have 2, 3, 5, 1 parts of 11; the two largest
    // 3 and 5 of 8.
    let spec = GateSpec { inputs: 1, experts: 4, k: 2, ..SPEC };
    let logits = [2f64, 3.0, 5.0, 1.0].map(|v| v.ln() as Real).to_vec();
    let expected = [[2.0, 3.0, 5.0, 1.0].map(|v| v / 11.0), [0.0, 0.375, 0.625, 0.0]];
    for (id, expected) in IDS.into_iter().zip(expected) {
        let mut set = build(id, &spec, 1, &[]);
        common::set(&mut *set, "0.weight", &Tensor::new([1, 4], logits.clone()));
        let tape = Tape::inference();
        let x = tape.constant(Tensor::full([1, 1], 1.0));
        let dense = route(&*set, x, Mode::Infer)[0].to_dense();
        for (weight, expected) in dense.as_slice().iter().zip(expected) {
            assert_relative_eq!(f64::from(*weight), expected, max_relative = 1e-6);
        }
    }
}

#[test]
fn gates_start_apart_and_seeds_decide() {
    for id in IDS {
        let weights = |seed| common::parameters(&*build(id, &GateSpec { seed, ..SPEC }, 3, &[]));
        let first = weights(1);
        assert_eq!(weights(1), first);
        let names = ["0.bias", "0.weight", "1.bias", "1.weight", "2.bias", "2.weight"];
        assert_eq!(first.keys().collect::<Vec<_>>(), names);
        let other = weights(2);
        let mut seen = BTreeSet::new();
        for (name, value) in first.iter().chain(&other).filter(|(n, _)| n.ends_with("weight")) {
            assert_eq!(value.shape()[..], [5, 6]);
            assert!(seen.insert(bits(value)), "{id}: {name} starts like another");
            // Glorot: the square root of 6 / (5 + 6).
            let bound = (6f64 / 11.0).sqrt() as Real;
            assert!(value.as_slice().iter().all(|v| v.abs() <= bound));
        }
        assert!(first["1.bias"].as_slice().iter().all(|&b| b == 0.0));
        // A gate does not depend on how many others there are.
        let alone = common::parameters(&*build(id, &GateSpec { seed: 1, ..SPEC }, 1, &[]));
        assert_eq!(alone["0.weight"], first["0.weight"]);
    }
}

#[test]
fn both_visits_agree() {
    for id in IDS {
        let mut set = build(id, &SPEC, 3, &[]);
        let (mut read, mut written) = (Vec::new(), Vec::new());
        set.visit(&mut |name, state| {
            let StateRef::Parameter(parameter) = state else { panic!("{name} is a buffer") };
            read.push((name.to_string(), parameter.id()));
        });
        set.visit_mut(&mut |name, state| {
            let StateMut::Parameter(parameter) = state else { panic!("{name} is a buffer") };
            written.push((name.to_string(), parameter.id()));
        });
        assert_eq!(read, written, "{id}");
        assert_eq!(read.len(), 6);
    }
}

#[test]
fn promises_are_those_of_the_routers() {
    use moe_routers::Router;
    let (soft, top) = (Softmax::new(&SPEC).properties(), TopK::new(&SPEC, 0.0).properties());
    assert_eq!(soft.cardinality, Cardinality::Exactly(6));
    assert_eq!(top.cardinality, Cardinality::Exactly(3));
    for properties in [soft, top] {
        assert!(properties.row_wise);
        assert_eq!(properties.total_weight, TotalWeight::One);
    }
}

#[test]
fn draws_do_not_matter_to_these_routers() {
    // Neither ids, keys, seed, step nor epoch change the routing.
    let x = rows(8, 5, 1.0, 6);
    let mut rng = rng(6, 1);
    for id in IDS {
        let set = learnt(id, &SPEC, 1);
        let mut routed = |seed, step| {
            let ids: Vec<u64> = (0..8).map(|_| rng.random()).collect();
            let pass = Pass {
                mode: Mode::Train,
                seed,
                step,
                epoch: step,
                row_ids: &ids,
                keys: &ids,
                experts: None,
            };
            let tape = Tape::inference();
            set.route(&pass, tape.constant(x.clone()))[0].to_dense()
        };
        assert_eq!(routed(1, 0), routed(2, 7), "{id}");
    }
}

#[test]
fn types_that_threads_share() {
    fn shared<T: Send + Sync + std::fmt::Debug>() {}
    shared::<Softmax>();
    shared::<TopK>();
    shared::<Gates>();
    shared::<Registry>();
    shared::<RouterInfo>();
    shared::<GateSpec>();
    shared::<moe_routers::RegistryError>();
    shared::<moe_routers::RoutingStats>();
}
