//! The gates that routers are measured by: `oracle`, which knows the planted groups, and `static`, which does not route.

mod common;

use std::collections::BTreeSet;

use common::{build, cases, check_gradients, groups_of, route, rows};
use moe_core::tape::Tape;
use moe_core::{Mode, Pass, Real, StateMut, Tensor};
use moe_routers::{Cardinality, GateSet, GateSpec, Registry, Routing, TotalWeight, Value};
use proptest::prelude::*;

const SPEC: GateSpec = GateSpec { inputs: 3, experts: 6, k: 2, seed: 4, gate: 0 };

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn oracle_sends_a_row_to_the_expert_of_its_group(
        experts in 1usize..9, k in 1usize..9, groups in prop::collection::vec(any::<u32>(), 0..40),
        is_training in any::<bool>(),
    ) {
        let set = build("oracle", &GateSpec { experts, k: k.min(experts), ..SPEC }, 2, &[]);
        let keys: Vec<u64> = (0..groups.len() as u64).collect();
        let mode = if is_training { Mode::Train } else { Mode::Infer };
        let pass = Pass { mode, groups: Some(&groups), ..Pass::of_keys(&keys) };
        let tape = Tape::new();
        let routings = set.route(&pass, tape.constant(rows(groups.len(), 3, 1.0, 1)));
        for routing in &routings {
            let expected: Vec<u32> = groups.iter().map(|group| group % experts as u32).collect();
            prop_assert_eq!(routing.assignments.experts(), &expected[..]);
            prop_assert!(routing.weights.value().as_slice().iter().all(|&weight| weight == 1.0));
        }
    }

    #[test]
    fn with_k_experts_a_row_has_the_ones_after_the_first_too(
        experts in 1usize..9, k in 0usize..12, firsts in prop::collection::vec(0u32..9, 0..20),
    ) {
        let spec = GateSpec { experts, k, ..SPEC };
        let per_row = k.clamp(1, experts);
        let keys: Vec<u64> = (0..firsts.len() as u64).collect();
        let pass = Pass { groups: Some(&firsts), ..Pass::of_keys(&keys) };
        let x = rows(firsts.len(), 3, 1.0, 1);
        for id in ["oracle", "hash"] {
            let set = build(id, &spec, 1, &[("k-experts", Value::Bool(true))]);
            let promised = set.properties().remove(0);
            prop_assert_eq!((promised.cardinality, promised.total_weight), (Cardinality::Exactly(per_row), TotalWeight::One));
            let one = build(id, &spec, 1, &[]);
            let tape = Tape::new();
            let [many, one] = [&set, &one].map(|set| set.route(&pass, tape.constant(x.clone())).remove(0));
            for row in 0..firsts.len() {
                let first = one.assignments.of_row(row)[0] as usize;
                let mut expected: Vec<u32> = (0..per_row).map(|next| ((first + next) % experts) as u32).collect();
                expected.sort_unstable();
                prop_assert_eq!(many.assignments.of_row(row), &expected[..]);
            }
            prop_assert!(many.weights.value().as_slice().iter().all(|&weight| weight == 1.0 / per_row as Real));
        }
    }

    #[test]
    fn static_gives_all_rows_the_same_experts(
        count in 1usize..40, experts in 1usize..9, k in 1usize..9, gates in 1usize..4, seed in any::<u64>(),
    ) {
        let k = k.min(experts);
        let set = build("static", &GateSpec { experts, k, seed, ..SPEC }, gates, &[]);
        for mode in [Mode::Train, Mode::Infer] {
            let tape = Tape::new();
            for routing in &route(&*set, tape.constant(rows(count, 3, 10.0, seed)), mode) {
                let (first, weights) = (routing.assignments.of_row(0), routing.to_dense());
                prop_assert_eq!(first.len(), k);
                for row in 0..count {
                    prop_assert_eq!(routing.assignments.of_row(row), first);
                    prop_assert_eq!(weights.row(row), weights.row(0));
                }
            }
        }
    }
}

#[test]
fn promises() {
    let oracle = build("oracle", &SPEC, 1, &[]).properties().remove(0);
    assert_eq!(
        (oracle.cardinality, oracle.total_weight),
        (Cardinality::Exactly(1), TotalWeight::One)
    );
    let fixed = build("static", &SPEC, 1, &[]).properties().remove(0);
    assert_eq!(
        (fixed.cardinality, fixed.total_weight),
        (Cardinality::Exactly(2), TotalWeight::One)
    );
    // Of all routers, one reads groups, and says so in its description as in its promises.
    for entry in Registry::standard().entries() {
        let (info, gates) = (entry.info(), build(&entry.info().id, &SPEC, 1, &[]));
        assert_eq!(info.reads_groups, info.id == "oracle");
        assert_eq!(gates.properties()[0].reads_groups, info.reads_groups, "{}", info.id);
    }
}

#[test]
#[should_panic(expected = "oracle: the rows have no planted groups")]
fn oracle_needs_groups() {
    let set = build("oracle", &SPEC, 1, &[]);
    let tape = Tape::inference();
    let _ = set.route(&Pass::of_keys(&[1, 2]), tape.constant(Tensor::zeros([2, 3])));
}

#[test]
fn groups_matter_to_oracle() {
    let set = build("oracle", &SPEC, 1, &[]);
    let keys: Vec<u64> = (0..10).collect();
    let groups = groups_of(&keys);
    let of = |groups: &[u32]| {
        let pass = Pass { groups: Some(groups), ..Pass::of_keys(&keys) };
        let tape = Tape::inference();
        set.route(&pass, tape.constant(Tensor::zeros([10, 3])))[0].to_dense()
    };
    let moved: Vec<u32> = groups.iter().map(|group| group + 1).collect();
    assert_ne!(of(&groups), of(&moved));
}

#[test]
fn gates_of_static_start_with_sets_of_their_own_that_the_seed_decides() {
    let experts = |seed| -> Vec<Vec<u32>> {
        let set = build("static", &GateSpec { experts: 16, seed, ..SPEC }, 6, &[]);
        let tape = Tape::inference();
        let routings = route(&*set, tape.constant(Tensor::zeros([1, 3])), Mode::Infer);
        routings.iter().map(|routing| routing.assignments.experts().to_vec()).collect()
    };
    let first = experts(1);
    assert!(first.iter().collect::<BTreeSet<_>>().len() > 3, "{first:?}");
    assert_eq!(experts(1), first);
    assert_ne!(experts(2), first);
}

#[test]
fn the_gradient_of_static() {
    let mut set = build("static", &GateSpec { experts: 7, k: 4, ..SPEC }, 1, &[]);
    // Far enough apart that no difference changes the set.
    let logits = vec![0.3, -0.8, 0.9, -0.5, 0.1, 0.6, -1.0];
    common::set(&mut *set, "0.bias", &Tensor::new([7], logits));
    let x = rows(9, 3, 1.0, 5);
    // Each logit, and each of the 27 numbers of x, which do not matter.
    assert_eq!(check_gradients(&mut *set, &x, 5, 1.0), Ok(7 + 27));
    assert!(check_gradients(&mut *set, &x, 5, 3.0).is_err(), "a wrong gradient is seen");
}

/// Descends the mean cost of the experts in use, weighted; returns the experts that are left, the heaviest first. `spread`
/// is the distance between the logits that training starts with; `None` leaves the gate's own.
fn learnt(seed: u64, costs: &[Real], spread: Option<Real>) -> Vec<u32> {
    let mut set = build("static", &GateSpec { experts: costs.len(), seed, ..SPEC }, 1, &[]);
    if let Some(spread) = spread {
        set.visit_mut(&mut |_, state| {
            let StateMut::Parameter(bias) = state else { return };
            let n = bias.value().len();
            *bias.value_mut() = Tensor::from_fn([n], |i| -spread * i as Real);
        });
    }
    let mut tape = Tape::new();
    for _ in 0..3000 {
        tape.clear();
        let gradient = {
            let routing = route(&*set, tape.constant(Tensor::zeros([4, 3])), Mode::Train).remove(0);
            let of_pair = routing.assignments.experts().iter().map(|&e| costs[e as usize]);
            let costs =
                tape.constant(Tensor::new([routing.assignments.pairs()], of_pair.collect()));
            let gradients = tape.backward((routing.weights * costs).sum().scale(0.25));
            common::gradients_of(&*set, &gradients).remove("0.bias").unwrap()
        };
        tape.clear();
        step(&mut *set, &gradient);
    }
    let tape = Tape::inference();
    let routing: Routing<'_> =
        route(&*set, tape.constant(Tensor::zeros([1, 3])), Mode::Infer).remove(0);
    let weights = routing.weights.value();
    let mut pairs: Vec<(u32, Real)> =
        routing.assignments.experts().iter().copied().zip(weights.as_slice().to_vec()).collect();
    pairs.sort_by(|a, b| b.1.total_cmp(&a.1));
    pairs.into_iter().map(|(expert, _)| expert).collect()
}

/// A step of gradient descent.
fn step(set: &mut dyn GateSet, gradient: &Tensor) {
    set.visit_mut(&mut |_, state| {
        let StateMut::Parameter(bias) = state else { return };
        bias.value_mut().add_assign(&gradient.map(|g| -0.05 * g));
    });
}

#[test]
fn static_finds_the_best_expert_wherever_it_starts() {
    let costs = [0.9, 0.8, 0.7, 0.2, 1.0, 0.6];
    for seed in 0..20 {
        assert_eq!(learnt(seed, &costs, None)[0], 3, "seed {seed}");
    }
    // Negative control: where the logits start far apart, the set is the one that was drawn.
    let mut drawn = learnt(0, &costs, Some(50.0));
    drawn.sort_unstable();
    assert_eq!(drawn, [0, 1]);
}
