//! What every router of the registry must hold, with the promises it makes itself; and what those must that choose
//! without draws: `softmax` and `top-k`.

mod common;

use std::collections::BTreeSet;

use approx::{assert_abs_diff_eq, assert_relative_eq};
use common::{
    DOUBLE, STEP, bits, build, cases, check_gradients, groups_of, objective, pick_rows, rng, route,
    rows,
};
use moe_core::rand::Rng;
use moe_core::rand::seq::SliceRandom;
use moe_core::tape::Tape;
use moe_core::{Mode, Pass, Real, StateMut, StateRef, Tensor, random};
use moe_routers::{
    AuxOptions, Capacity, Cardinality, ExpertChoice, GateSet, GateSpec, Gates, HashRouter, Moesart,
    NoisyTopK, Oracle, Properties, Registry, RouterInfo, Routing, Softmax, StaticGate, Switch,
    TopK, TotalWeight, VMoe, Value, XMoe,
};
use proptest::prelude::*;

/// Routers that choose by their logits alone.
const IDS: [&str; 2] = ["softmax", "top-k"];

const SPEC: GateSpec = GateSpec { inputs: 5, experts: 6, k: 3, seed: 11, gate: 0 };

/// All ids that can be built for `spec`, with K moved into the range that each allows.
fn each(spec: &GateSpec, mut f: impl FnMut(&str, &GateSpec)) {
    for entry in Registry::standard().entries() {
        let info = entry.info();
        if info.least_k <= spec.experts {
            let k = spec.k.clamp(info.least_k, spec.experts);
            f(&info.id, &GateSpec { k, ..*spec });
        }
    }
}

/// Coefficients of all auxiliary losses that a router offers.
fn all_losses(id: &str) -> Vec<(&'static str, Value)> {
    const NAMES: [&str; 7] =
        ["load-balance", "importance", "load", "gshard", "trimmed-lasso", "router-z", "entropy"];
    let registry = Registry::standard();
    let specs = &registry.get(id).unwrap().info().parameters;
    let offered = NAMES.into_iter().filter(|name| specs.iter().any(|spec| spec.name == *name));
    offered.map(|name| (name, Value::Real(0.3))).collect()
}

/// A gate set with parameters away from zero, like one that has learnt.
fn learnt_with(
    id: &str,
    spec: &GateSpec,
    gates: usize,
    parameters: &[(&str, Value)],
) -> Box<dyn GateSet> {
    let mut set = build(id, spec, gates, parameters);
    let mut rng = rng(spec.seed, 1);
    set.visit_mut(&mut |_, state| {
        let StateMut::Parameter(parameter) = state else { return };
        let shape = *parameter.value().shape();
        *parameter.value_mut() = random::uniform(shape, 1.0, &mut rng);
    });
    set
}

fn learnt(id: &str, spec: &GateSpec, gates: usize) -> Box<dyn GateSet> {
    learnt_with(id, spec, gates, &[])
}

/// Checks a routing: ascending experts for each row, in the promised number, with the promised sum of weights.
fn assert_sound(routing: &Routing<'_>, rows: usize, experts: usize, promised: &Properties) {
    let assignments = &routing.assignments;
    assert_eq!((assignments.rows(), assignments.num_experts()), (rows, experts));
    assert_eq!((routing.observed.rows, &routing.observed.load), (rows, &assignments.load()));
    let weights = routing.weights.value();
    assert_eq!(weights.shape()[..], [assignments.pairs()]);
    for row in 0..rows {
        let chosen = assignments.of_row(row);
        match promised.cardinality {
            Cardinality::Exactly(k) => assert_eq!(chosen.len(), k, "row {row}"),
            Cardinality::AtMost(k) => assert!(chosen.len() <= k, "row {row}: {chosen:?}"),
            Cardinality::Any => {}
        }
        assert!(chosen.is_sorted_by(|a, b| a < b), "row {row}: {chosen:?}");
        assert!(chosen.iter().all(|&e| (e as usize) < experts));
        let weights = &weights.as_slice()[assignments.pairs_of(row)];
        assert!(weights.iter().all(|w| w.is_finite()), "row {row}: {weights:?}");
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let slack = 16.0 * f64::from(Real::EPSILON);
        match promised.total_weight {
            TotalWeight::One => assert_abs_diff_eq!(sum, 1.0, epsilon = slack),
            TotalWeight::AtMostOne => assert!(sum <= 1.0 + slack, "row {row}: {weights:?}"),
            TotalWeight::Any => continue,
        }
        let most = 1.0 + slack as Real;
        assert!(weights.iter().all(|w| (0.0..=most).contains(w)), "row {row}: {weights:?}");
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn routings_are_what_was_promised(
        count in 0usize..70, width in 1usize..9, experts in 1usize..12, k in 1usize..12,
        gates in 1usize..4, size in prop::sample::select(vec![0.0, 1e-3, 1.0, 30.0, 1e4]),
        seed in any::<u64>(),
    ) {
        each(&GateSpec { inputs: width, experts, k, seed, gate: 0 }, |id, spec| {
            let set = learnt_with(id, spec, gates, &all_losses(id));
            assert_eq!((set.num_gates(), set.num_experts()), (gates, experts));
            for mode in [Mode::Train, Mode::Infer] {
                let tape = Tape::new();
                // A bound must be positive: all-zero rows are a separate case.
                let x = rows(count, width, 1.0, seed).map(|v| v * size as Real);
                let routings = route(&*set, tape.constant(x), mode);
                assert_eq!(routings.len(), gates);
                for (routing, promised) in routings.iter().zip(set.properties()) {
                    assert_sound(routing, count, experts, &promised);
                    assert!(mode == Mode::Train || routing.aux_losses.is_empty());
                    for loss in &routing.aux_losses {
                        let value = loss.value.value().item();
                        assert!(value.is_finite(), "{id}: {} is {value}", loss.name);
                        assert!(count > 0 || value == 0.0, "{id}: {} without rows", loss.name);
                    }
                }
            }
        });
    }
}

#[test]
fn gradients_are_the_slopes_of_weights_and_losses() {
    let mut compared = 0;
    for seed in 0..20 {
        let mut rng = rng(seed, 9);
        let [count, width, experts, k] = [6, 5, 6, 6].map(|most| rng.random_range(1..most));
        each(&GateSpec { inputs: width, experts, k, seed, gate: 0 }, |id, spec| {
            // Smooth steps bend too much for these distances; `comet.rs` and `dselect_k.rs` have their own.
            if ["comet", "dselect-k"].contains(&id) {
                return;
            }
            let mut set = learnt_with(id, spec, 2, &all_losses(id));
            let x = rows(count, width, 1.0, seed);
            let settled: Vec<usize> = (0..count)
                .filter(|&row| {
                    // A step moves the difference of two logits by less than this.
                    selection_margin(&*set, &pick_rows(&x, &[row]), spec.k) > 4.0 * STEP
                })
                .collect();
            let x = pick_rows(&x, &settled);
            let checked = check_gradients(&mut *set, &x, seed, 1.0);
            compared += checked.unwrap_or_else(|error| panic!("{id}, seed {seed}: {error}"));
        });
    }
    assert!(compared > 2000, "only {compared} slopes compared");
}

/// Distance between the last chosen logit and the first one left out, over all rows and gates; infinite for routers
/// without such logits.
fn selection_margin(set: &dyn GateSet, x: &Tensor, k: usize) -> Real {
    let parameters = common::parameters(set);
    let tape = Tape::inference();
    let mut margin = Real::INFINITY;
    for gate in 0..set.num_gates() {
        let parameter = |name: &str| parameters.get(&format!("{gate}.{name}")).cloned();
        let Some(weight) = parameter("weight") else { continue };
        let bias = parameter("bias").unwrap_or_else(|| Tensor::zeros([weight.cols()]));
        let (weight, bias) = (tape.constant(weight), tape.constant(bias));
        let logits = tape.constant(x.clone()).linear(weight, bias).value();
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

#[test]
fn a_wrong_gradient_is_noticed() {
    let x = rows(4, 5, 1.0, 1);
    each(&SPEC, |id, spec| {
        let mut set = learnt(id, spec, 2);
        if common::parameters(&*set).len() > 2 {
            let factor = if DOUBLE { 1.0 + 1e-6 } else { 1.2 };
            assert!(check_gradients(&mut *set, &x, 1, factor).is_err(), "{id}");
        }
    });
}

#[test]
fn the_same_call_gives_the_same_bits_on_any_number_of_threads() {
    let x = rows(300, 200, 1.0, 2);
    each(&GateSpec { inputs: 200, experts: 33, ..SPEC }, |id, spec| {
        let set = learnt_with(id, spec, 2, &all_losses(id));
        let run = || {
            let tape = Tape::inference();
            let routings = route(&*set, tape.constant(x.clone()), Mode::Train);
            let of = |r: &Routing<'_>| {
                let losses: Vec<_> = r.aux_losses.iter().map(|l| bits(&l.value.value())).collect();
                (r.assignments.clone(), bits(&r.weights.value()), losses)
            };
            routings.iter().map(of).collect::<Vec<_>>()
        };
        let first = run();
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(run), first, "{id}: {threads} threads");
        }
    });
}

#[test]
fn a_row_is_routed_alike_in_any_batch() {
    let x = rows(150, 37, 1.0, 3);
    each(&GateSpec { inputs: 37, ..SPEC }, |id, spec| {
        let set = learnt(id, spec, 2);
        if !set.properties().iter().all(|promised| promised.row_wise) {
            assert_eq!(id, "expert-choice");
            return;
        }
        for mode in [Mode::Train, Mode::Infer] {
            // Experts and weights of each row, gates side by side. The ids of the rows go with them.
            let routed = |picked: &[usize]| {
                let ids: Vec<u64> = picked.iter().map(|&row| row as u64).collect();
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
                let tape = Tape::inference();
                let routings = set.route(&pass, tape.constant(pick_rows(&x, picked)));
                let gates: Vec<Tensor> = routings.iter().map(Routing::to_dense).collect();
                let row =
                    |r| gates.iter().flat_map(move |g| g.row(r)).map(|&v| f64::from(v).to_bits());
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
    });
}

#[test]
fn gradients_of_huge_logits_are_numbers() {
    each(&SPEC, |id, spec| {
        let mut set = learnt_with(id, spec, 1, &all_losses(id));
        for (name, value) in common::parameters(&*set) {
            if name != "0.table" {
                common::set(&mut *set, &name, &value.map(|v| v * 1e4));
            }
        }
        let here = objective(&*set, &rows(20, 5, 1.0, 8), 1);
        assert!(here.value.is_finite(), "{id}");
        for (name, gradient) in here.gradients {
            assert!(gradient.as_slice().iter().all(|g| g.is_finite()), "{id}: {name}");
        }
    });
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
        let tape = Tape::new();
        let routing = route(&*set, tape.constant(x.clone()), Mode::Infer).remove(0);
        assert_sound(&routing, 3, 5, &set.properties()[0]);
        let dense = routing.to_dense();
        // 1e4 against 1e4 - 1: the logistic function of 1; all else vanishes.
        let expected = 1.0 / (1.0 + (-1f64).exp());
        assert_relative_eq!(f64::from(dense.row(0)[0]), expected, max_relative = 1e-6);
        let equal: &[Real] = if id == "softmax" { &[0.2; 5] } else { &[0.5, 0.5, 0.0, 0.0, 0.0] };
        assert_eq!(dense.row(1), equal, "of equal logits the first are chosen");
        assert!(dense.row(2)[2] == 0.0 && dense.row(2)[0] > 0.2);
        for (name, gradient) in objective(&*set, &x, 1).gradients {
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
    each(&SPEC, |id, spec| {
        let mut set = build(id, spec, 3, &[]);
        let (mut read, mut written) = (Vec::new(), Vec::new());
        set.visit(&mut |name, state| {
            let id = match state {
                StateRef::Parameter(parameter) => Some(parameter.id()),
                StateRef::Buffer(_) => None,
            };
            read.push((name.to_string(), id));
        });
        set.visit_mut(&mut |name, state| {
            let id = match state {
                StateMut::Parameter(parameter) => Some(parameter.id()),
                StateMut::Buffer(_) => None,
            };
            written.push((name.to_string(), id));
        });
        assert_eq!(read, written, "{id}");
        assert_eq!(read.is_empty(), id == "oracle", "{id}");
        assert_eq!(read.len() % 3, 0, "{id}: {read:?}");
    });
}

#[test]
fn promises_are_those_of_the_routers() {
    use moe_routers::Router;
    let (soft, top) = (
        Softmax::new(&SPEC, 1.0, AuxOptions::default()).properties(),
        TopK::new(&SPEC, 0.0).properties(),
    );
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
                groups: None,
                batch_rows: None,
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
    shared::<NoisyTopK>();
    shared::<HashRouter>();
    shared::<Oracle>();
    shared::<StaticGate>();
    shared::<Moesart>();
    shared::<Switch>();
    shared::<VMoe>();
    shared::<ExpertChoice>();
    shared::<XMoe>();
    shared::<Capacity>();
    shared::<Gates>();
    shared::<Registry>();
    shared::<RouterInfo>();
    shared::<GateSpec>();
    shared::<moe_routers::RegistryError>();
    shared::<moe_routers::RoutingStats>();
}
