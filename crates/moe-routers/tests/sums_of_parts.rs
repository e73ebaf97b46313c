//! Requirements of the gates that are sums of parts: `comet` (trees) and `dselect-k` (selectors).

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use approx::assert_abs_diff_eq;
use common::{
    DOUBLE, STEP, bits, build, cases, check_gradients, objective, pick_rows, rng, route, rows,
};
use moe_core::dispatch::{Assignments, ExpertPlan};
use moe_core::kernel::multiply_adds;
use moe_core::rand::Rng;
use moe_core::rand::seq::SliceRandom;
use moe_core::tape::Tape;
use moe_core::{Mode, Real, StateMut, StateRef, Tensor, random};
use moe_routers::{
    Cardinality, Comet, CometOptions, CometVariant, DSelectK, DSelectKOptions, GateSet, GateSpec,
    Gates, Router, Routing, TotalWeight, Value,
};
use proptest::prelude::*;

const SPEC: GateSpec = GateSpec { inputs: 5, experts: 6, k: 3, seed: 11, gate: 0 };

/// The gates under test.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Comet,
    CometBert,
    DSelectK,
    StaticDSelectK,
}

const KINDS: [Kind; 4] = [Kind::Comet, Kind::CometBert, Kind::DSelectK, Kind::StaticDSelectK];

impl Kind {
    /// One gate with this γ and all terms of the loss. Unlike the registry it allows K above N.
    fn build(self, spec: &GateSpec, gamma: f64) -> Box<dyn Router> {
        let (gamma, entropy) = (gamma as Real, 0.1);
        let comet = |variant| Comet::new(spec, CometOptions { gamma, entropy, variant });
        let dselect_k = |is_static| {
            DSelectK::new(spec, DSelectKOptions { gamma, entropy, reachability: 0.1, is_static })
        };
        match self {
            Kind::Comet => Box::new(comet(CometVariant::Comet)),
            Kind::CometBert => Box::new(comet(CometVariant::Bert)),
            Kind::DSelectK => Box::new(dselect_k(false)),
            Kind::StaticDSelectK => Box::new(dselect_k(true)),
        }
    }

    /// Two gates with parameters of size one, like those that have learnt.
    fn learnt(self, spec: &GateSpec, gamma: f64) -> Gates {
        let gates = (0..2).map(|gate| self.build(&GateSpec { gate, ..*spec }, gamma));
        let mut set = Gates::new(gates.collect());
        let mut rng = rng(spec.seed, 1);
        set.visit_mut(&mut |_, mut state| {
            let tensor = state.tensor_mut();
            *tensor = random::uniform(*tensor.shape(), 1.0, &mut rng);
        });
        set
    }

    /// The parameters of gate 0 whose logits go through the smooth-step.
    fn steps(self, set: &dyn GateSet, x: &Tensor) -> Vec<f64> {
        let parameters = common::parameters(set);
        let name = if matches!(self, Kind::Comet | Kind::CometBert) { "split" } else { "code" };
        let tape = Tape::inference();
        let mut logits = Vec::new();
        for gate in 0..set.num_gates() {
            let of = |suffix: &str| parameters.get(&format!("{gate}.{name}{suffix}"));
            let values = match (of(""), of(".weight"), of(".bias")) {
                (Some(logits), ..) => logits.clone(),
                (_, Some(w), bias) => {
                    let product = tape.constant(x.clone()).matmul(tape.constant(w.clone()));
                    match bias {
                        Some(bias) => (product + tape.constant(bias.clone())).value(),
                        None => product.value(),
                    }
                }
                _ => unreachable!("every gate has logits"),
            };
            logits.extend(values.as_slice().iter().map(|&v| f64::from(v)));
        }
        logits
    }
}

/// Weights in (0, 1], ascending experts, and the promised total.
fn assert_sound(routing: &Routing<'_>, total: TotalWeight) {
    let assignments = &routing.assignments;
    assert_eq!(routing.observed.load, assignments.load());
    let weights = routing.weights.value();
    for row in 0..assignments.rows() {
        let weights = &weights.as_slice()[assignments.pairs_of(row)];
        // One weight is a sum over parts of one softmax: it may exceed 1 by rounding.
        let bound = 1.0 + 16.0 * Real::EPSILON;
        assert!(weights.iter().all(|&w| w > 0.0 && w <= bound), "row {row}: {weights:?}");
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let rounding = 64.0 * f64::from(Real::EPSILON);
        match total {
            TotalWeight::One => assert_abs_diff_eq!(sum, 1.0, epsilon = rounding),
            _ => assert!(sum <= 1.0 + rounding, "row {row}: {sum}"),
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn weights_are_positive_and_keep_their_total(
        count in 0usize..70, width in 1usize..9, experts in 1usize..41, k in 1usize..5,
        gamma in prop::sample::select(vec![1e-3, 0.1, 1.0, 10.0]),
        size in prop::sample::select(vec![0.0, 1e-3, 1.0, 30.0]), seed in any::<u64>(),
    ) {
        let spec = GateSpec { inputs: width, experts, k, seed, gate: 0 };
        for kind in KINDS {
            let set = kind.learnt(&spec, gamma);
            for mode in [Mode::Train, Mode::Infer] {
                let tape = Tape::new();
                let x = rows(count, width, 1.0, seed).map(|v| v * size as Real);
                for (routing, properties) in route(&set, tape.constant(x), mode).iter().zip(set.properties()) {
                    let shape = (routing.assignments.rows(), routing.assignments.num_experts());
                    prop_assert_eq!(shape, (count, experts));
                    assert_sound(routing, properties.total_weight);
                    prop_assert_eq!(routing.aux_losses.is_empty(), mode == Mode::Infer);
                    for loss in &routing.aux_losses {
                        prop_assert!(loss.value.value().item().is_finite());
                    }
                }
            }
        }
    }

    #[test]
    fn saturated_parts_have_one_expert_each(
        count in 1usize..70, experts in 1usize..41, k in 1usize..5, seed in any::<u64>(),
    ) {
        let spec = GateSpec { inputs: 6, experts, k, seed, gate: 0 };
        for kind in KINDS {
            // Logits of size one are far beyond γ/2, except for one in thousands.
            let set = kind.learnt(&spec, 1e-6);
            let tape = Tape::new();
            let x = tape.variable(rows(count, 6, 1.0, seed));
            prop_assume!(kind.steps(&set, &x.value()).iter().all(|t| t.abs() > 1e-6));
            for routing in route(&set, x, Mode::Train) {
                for row in 0..count {
                    prop_assert!(routing.assignments.of_row(row).len() <= k, "{:?}", kind);
                }
                assert_only_these_are_computed(&routing.assignments, &tape);
            }
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_weights_and_losses(
        width in 1usize..4, experts in 1usize..7, k in 1usize..4,
        // The wide step of single precision needs a gentle slope.
        gamma in prop::sample::select(if DOUBLE { vec![1.0, 2.0, 6.0] } else { vec![4.0, 10.0] }),
        seed in any::<u64>(),
    ) {
        let spec = GateSpec { inputs: width, experts, k, seed, gate: 0 };
        for kind in KINDS {
            let mut set = kind.learnt(&spec, gamma);
            let x = settled_rows(kind, &set, &spec, gamma);
            if x.rows() > 0 {
                prop_assert!(check_gradients(&mut set, &x, seed, 1.0).unwrap() > 0);
            }
        }
    }
}

/// A layer of these experts multiplies for the assigned pairs and no others, forward and backward.
fn assert_only_these_are_computed(assignments: &Assignments, tape: &Tape) {
    let (rows, experts) = (assignments.rows(), assignments.num_experts());
    let plan = Arc::new(ExpertPlan::new(&[assignments]));
    let x = tape.variable(Tensor::full([rows, 3], 1.0));
    let weight = tape.variable(Tensor::full([experts, 3, 2], 0.5));
    let bias = tape.variable(Tensor::zeros([experts, 2]));
    let before = multiply_adds();
    let y = x.gather_slots(&plan).grouped_linear(weight, bias, &plan);
    let _ = tape.backward(y.sum());
    let pairs = assignments.pairs() as u64;
    assert_eq!((plan.slots() as u64, multiply_adds() - before), (pairs, 3 * pairs * 3 * 2));
}

/// Up to three rows whose weights and losses are smooth within a step of any number: no logit near the bounds of its
/// smooth-step, for COMET-BERT no leaf near the probability from which it counts, and for DSelect-k no selector with
/// little weight on existing experts, whose reciprocal is steep.
fn settled_rows(kind: Kind, set: &Gates, spec: &GateSpec, gamma: f64) -> Tensor {
    let GateSpec { inputs, k, seed, .. } = *spec;
    // The slope of ln p grows towards the bounds; so does the error of a difference.
    let margin = (0.08 * gamma).max(4.0 * f64::from(STEP));
    let x = rows(100, inputs, 1.0, seed);
    let is_settled = |&row: &usize| {
        let x = pick_rows(&x, &[row]);
        let steps = kind.steps(set, &x);
        let inside = steps.iter().all(|t| (t.abs() - gamma / 2.0).abs() > margin);
        let tape = Tape::inference();
        let routings = route(set, tape.constant(x), Mode::Train);
        let losses = routings.iter().flat_map(|routing| &routing.aux_losses);
        // The coefficient times the sum of the reciprocals: for one of them at most 2.5.
        let most = 0.1 * (k as f64 + 1.5);
        let reachable = losses
            .filter(|loss| loss.name == "reachability")
            .all(|loss| f64::from(loss.value.value().item()) < most);
        // A split moves a leaf probability by at most 1.5/γ of its own movement.
        let reached = steps.iter().all(|t| t.abs() > gamma / 2.0 || t.abs() < 0.3 * gamma);
        inside && reachable && (kind != Kind::CometBert || reached)
    };
    let picked: Vec<usize> = (0..100).filter(is_settled).take(3).collect();
    pick_rows(&x, &picked)
}

#[test]
fn enough_rows_are_settled() {
    for kind in KINDS {
        // A static selection is settled as a whole or not at all.
        let gamma = if kind == Kind::StaticDSelectK { 6.0 } else { 2.0 };
        let (mut rows, mut all) = (0, 0);
        for seed in 0..20 {
            let spec = GateSpec { inputs: 3, experts: 4, k: 2, seed, gate: 0 };
            let picked = settled_rows(kind, &kind.learnt(&spec, gamma), &spec, gamma).rows();
            (rows, all) = (rows + picked, all + usize::from(picked == 3));
        }
        assert!(rows >= 20 && all >= 5, "{kind:?}: {rows} rows, {all} full batches");
    }
}

#[test]
fn a_wrong_gradient_is_noticed() {
    for kind in KINDS {
        let spec = GateSpec { inputs: 3, experts: 4, k: 2, ..SPEC };
        let mut set = kind.learnt(&spec, 6.0);
        let x = settled_rows(kind, &set, &spec, 6.0);
        assert_eq!(x.rows(), 3, "{kind:?}");
        let factor = if DOUBLE { 1.0 + 1e-6 } else { 1.1 };
        check_gradients(&mut set, &x, 1, 1.0).unwrap();
        assert!(check_gradients(&mut set, &x, 1, factor).is_err(), "{kind:?}");
    }
}

#[test]
fn the_same_call_gives_the_same_bits_on_any_number_of_threads() {
    let x = rows(300, 200, 0.2, 2);
    for kind in KINDS {
        let set = kind.learnt(&GateSpec { inputs: 200, experts: 33, ..SPEC }, 4.0);
        let run = || {
            let tape = Tape::inference();
            let routings = route(&set, tape.constant(x.clone()), Mode::Train);
            let of = |r: &Routing<'_>| {
                let losses = r.aux_losses.iter().map(|loss| bits(&loss.value.value()));
                (r.assignments.clone(), bits(&r.weights.value()), losses.collect::<Vec<_>>())
            };
            let here = objective(&set, &x, 1);
            let gradients = here.gradients.iter().map(|(_, g)| bits(g)).collect::<Vec<_>>();
            (routings.iter().map(of).collect::<Vec<_>>(), here.value.to_bits(), gradients)
        };
        let first = run();
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(run) == first, "{kind:?}: {threads} threads");
        }
    }
}

#[test]
fn a_row_is_routed_alike_in_any_batch() {
    let x = rows(150, 37, 0.5, 3);
    for kind in KINDS {
        let set = kind.learnt(&GateSpec { inputs: 37, ..SPEC }, 4.0);
        let routed = |picked: &[usize]| {
            let tape = Tape::inference();
            let routings = route(&set, tape.constant(pick_rows(&x, picked)), Mode::Infer);
            let gates: Vec<Tensor> = routings.iter().map(Routing::to_dense).collect();
            let row = |r| gates.iter().flat_map(move |g| g.row(r)).map(|&v| f64::from(v).to_bits());
            (0..picked.len()).map(|r| row(r).collect()).collect::<Vec<Vec<u64>>>()
        };
        let mut order: Vec<usize> = (0..150).collect();
        let whole = routed(&order);
        for size in [1, 2, 63, 64, 65] {
            let parts: Vec<_> = order.chunks(size).flat_map(routed).collect();
            assert!(parts == whole, "{kind:?}: {size} rows at a time");
        }
        order.shuffle(&mut rng(3, 1));
        for (&row, bits) in order.iter().zip(routed(&order)) {
            assert!(bits == whole[row], "{kind:?}: row {row} in another order");
        }
    }
}

#[test]
fn large_logits_give_numbers() {
    // One-hot rows pick logits of both signs and up to 1e4 out of the weights.
    let x = Tensor::from_fn([6, 6], |i| if i / 6 == i % 6 { 1.0 } else { 0.0 });
    let sizes = [1e4, -1e4, 0.0, 1.0, -3.0, 9999.0];
    for kind in KINDS {
        let mut set = kind.learnt(&GateSpec { inputs: 6, ..SPEC }, 1.0);
        let mut rng = rng(1, 2);
        set.visit_mut(&mut |_, mut state| {
            let logit = |_| sizes[rng.random_range(0..sizes.len())];
            *state.tensor_mut() = Tensor::from_fn(*state.tensor_mut().shape(), logit);
        });
        let tape = Tape::new();
        let total = set.properties()[0].total_weight;
        for routing in route(&set, tape.constant(x.clone()), Mode::Infer) {
            assert_sound(&routing, total);
        }
        for (name, gradient) in objective(&set, &x, 1).gradients {
            assert!(gradient.as_slice().iter().all(|g| g.is_finite()), "{kind:?}: {name}");
        }
    }
}

#[test]
fn initial_parameters_are_those_published() {
    for kind in KINDS {
        let spec = GateSpec { inputs: 50, experts: 6, k: 2, ..SPEC };
        let draw = |seed, gate| {
            let gate = kind.build(&GateSpec { seed, gate, ..spec }, 4.0);
            common::parameters(&Gates::new(vec![gate]))
        };
        let first = draw(1, 0);
        assert_eq!(draw(1, 0), first);
        let (names, columns): (&[&str], [usize; 2]) = match kind {
            // K (N - 1) splits and K N leaves; K times 3 bits and K selectors.
            Kind::Comet => (&["leaf.bias", "leaf.weight", "split.bias", "split.weight"], [12, 10]),
            Kind::CometBert => (&["leaf.bias", "leaf.weight", "split.weight"], [12, 10]),
            Kind::DSelectK => {
                (&["code.bias", "code.weight", "selector.bias", "selector.weight"], [6, 2])
            }
            Kind::StaticDSelectK => (&["code", "selector"], [6, 2]),
        };
        assert!(
            first.keys().eq(names
                .iter()
                .map(|name| format!("0.{name}"))
                .collect::<Vec<_>>()
                .iter())
        );
        let mut seen = BTreeSet::new();
        for (name, value) in first.iter().chain(&draw(2, 0)).chain(&draw(1, 1)) {
            let second = name.contains("split") || name.contains("selector");
            assert_eq!(value.cols(), columns[usize::from(second)], "{name}");
            let small = name.contains("split") || name.contains("code");
            let bound = if small { 4.0 / 100.0 } else { 0.05 };
            let largest = value.as_slice().iter().fold(0.0, |max: Real, v| max.max(v.abs()));
            assert!(largest <= bound && largest > 0.0, "{name}: {largest}");
            assert!(value.len() < 50 || largest > 0.9 * bound, "{name}: {largest}");
            assert!(seen.insert(bits(value)), "{kind:?}: {name} starts like another");
        }
    }
}

#[test]
fn one_expert_takes_every_row() {
    for kind in KINDS {
        let mut set = kind.learnt(&GateSpec { experts: 1, k: 3, ..SPEC }, 1.0);
        let x = rows(7, 5, 1.0, 1);
        let tape = Tape::inference();
        for routing in route(&set, tape.constant(x.clone()), Mode::Train) {
            assert_eq!(routing.assignments, Assignments::dense(7, 1));
            for &weight in routing.weights.value().as_slice() {
                assert_abs_diff_eq!(f64::from(weight), 1.0, epsilon = 1e-6);
            }
        }
        check_gradients(&mut set, &x, 1, 1.0).unwrap();
    }
}

#[test]
fn no_rows_have_no_weights_and_no_loss() {
    for kind in KINDS {
        let set = kind.learnt(&SPEC, 1.0);
        let tape = Tape::new();
        let x = tape.variable(Tensor::zeros([0, 5]));
        for routing in route(&set, x, Mode::Train) {
            assert_eq!((routing.assignments.rows(), routing.assignments.pairs()), (0, 0));
            let loss =
                moe_routers::aux_loss::total_loss(routing.weights.sum(), &routing.aux_losses);
            // A static selection costs what it costs with any number of rows.
            if kind != Kind::StaticDSelectK {
                assert_eq!(loss.value().item(), 0.0, "{kind:?}");
            }
            let gradients = common::gradients_of(&set, &tape.backward(loss));
            assert!(gradients.values().all(|g| g.as_slice().iter().all(|v| v.is_finite())));
        }
    }
}

#[test]
fn both_visits_agree() {
    for kind in KINDS {
        let mut set = kind.learnt(&SPEC, 1.0);
        let (mut read, mut written) = (Vec::new(), Vec::new());
        set.visit(&mut |name, state| {
            let StateRef::Parameter(parameter) = state else { panic!("{name} is a buffer") };
            read.push((name.to_string(), parameter.id()));
        });
        set.visit_mut(&mut |name, state| {
            let StateMut::Parameter(parameter) = state else { panic!("{name} is a buffer") };
            written.push((name.to_string(), parameter.id()));
        });
        assert_eq!(read, written, "{kind:?}");
    }
}

#[test]
fn promises_are_those_of_the_routers() {
    for experts in [1, 6, 8] {
        for kind in KINDS {
            let properties = kind.build(&GateSpec { experts, k: 1, ..SPEC }, 1.0).properties();
            assert!(properties.row_wise);
            assert_eq!(properties.cardinality, Cardinality::AtMost(experts));
            let loses = matches!(kind, Kind::DSelectK | Kind::StaticDSelectK) && experts == 6;
            let total = if loses { TotalWeight::AtMostOne } else { TotalWeight::One };
            assert_eq!(properties.total_weight, total, "{kind:?} over {experts} experts");
        }
    }
}

#[test]
fn weight_on_codes_without_an_expert_is_lost() {
    // N = 3, one selector, x = 1: the high bit is 1 with S(0.25) = 0.84375 at γ = 1, the low one with 1/2. Code 3 has
    // no expert.
    let spec = GateSpec { inputs: 1, experts: 3, k: 1, ..SPEC };
    let options = [("entropy", Value::Real(0.0)), ("reachability", Value::Real(2.0))];
    let mut set = build("dselect-k", &spec, 1, &options);
    common::set(&mut *set, "0.code.weight", &Tensor::new([1, 2], vec![0.25, 0.0]));
    common::set(&mut *set, "0.code.bias", &Tensor::zeros([2]));
    let tape = Tape::inference();
    let x = tape.constant(Tensor::full([2, 1], 1.0));
    let routing = route(&*set, x, Mode::Train).remove(0);
    let expected = [0.078125, 0.078125, 0.421875];
    assert_eq!(routing.to_dense().as_slice(), [expected, expected].concat());
    // Two rows with 0.578125 of their weight left: 2 · 2 / 0.578126.
    let [loss] = routing.aux_losses[..] else { panic!("the entropy is off") };
    assert_eq!(loss.name, "reachability");
    assert_abs_diff_eq!(f64::from(loss.value.value().item()), 4.0 / 0.578126, epsilon = 1e-5);
    // With four experts no code is without one.
    let set = build("dselect-k", &GateSpec { experts: 4, ..spec }, 1, &options);
    assert!(route(&*set, x, Mode::Train)[0].aux_losses.is_empty());
}

#[test]
fn types_that_threads_share() {
    fn shared<T: Send + Sync + std::fmt::Debug>() {}
    shared::<Comet>();
    shared::<CometOptions>();
    shared::<DSelectK>();
    shared::<DSelectKOptions>();
    shared::<moe_routers::SmoothStep>();
}
