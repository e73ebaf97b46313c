//! Gates with a permutation: while it is learnt, once it is rounded, saved, resumed and folded.

#[path = "../../moe-routers/tests/common/mod.rs"]
mod common;

use std::sync::{Arc, Mutex};

use common::{bits, build, parameters, rows, set};
use moe_core::dispatch::Assignments;
use moe_core::tape::{Gradients, Tape, Var};
use moe_core::{Mode, Pass, Real, StateMut, StateRef, Tensor};
use moe_routers::{
    Cardinality, GateSet, GateSpec, Gates, Observed, Relabelled, RouteContext, Router, Routing,
    Share, TotalWeight, TrainingLength, Value, relabel_routing,
};
use moe_search::{Learning, Schedule, SearchOptions, Searched};
use proptest::prelude::*;

const D: usize = 5;
const K: usize = 2;
const ROWS: usize = 24;

fn gates(id: &str, experts: usize) -> Box<dyn GateSet> {
    let spec = GateSpec { inputs: D, experts, k: K, seed: 3, gate: 0 };
    build(id, &spec, 2, &[])
}

fn options(share: Share, steps: u64) -> SearchOptions {
    SearchOptions { share, learning: Learning::Steps(steps), ..SearchOptions::default() }
}

fn pass(mode: Mode, step: u64, ids: &[u64]) -> Pass<'_> {
    Pass {
        mode,
        seed: 3,
        step,
        epoch: 0,
        row_ids: ids,
        keys: ids,
        groups: None,
        batch_rows: None,
        experts: None,
    }
}

fn ids() -> Vec<u64> {
    (0..ROWS as u64).collect()
}

/// A step on rows of the step's own, with plain gradient descent; returns the gradients' numbers of permutation logits.
fn step(gates: &mut dyn GateSet, step: u64) -> Option<Tensor> {
    let (tape, ids) = (Tape::new(), ids());
    let x = tape.constant(rows(ROWS, D, 1.0, step));
    let routings = gates.route(&pass(Mode::Train, step, &ids), x);
    let mut loss = tape.variable(Tensor::scalar(0.0));
    for (gate, routing) in routings.iter().enumerate() {
        let wanted = rows(ROWS, gates.num_experts(), 1.0, 90 + gate as u64);
        let wanted = tape.constant(wanted).gather_assigned(&routing.assignments);
        loss = loss + (routing.weights * wanted).sum();
        loss = moe_routers::aux_loss::total_loss(loss, &routing.aux_losses);
    }
    let gradients = tape.backward(loss);
    let observed: Vec<Observed> = routings.into_iter().map(|routing| routing.observed).collect();
    descend(gates, &gradients);
    gates.after_step(&observed);
    let mut of_permutation = None;
    gates.visit(&mut |name, state| {
        if let ("permutation.log_alpha", StateRef::Parameter(parameter)) = (name, state) {
            of_permutation = gradients.get(parameter).map(|g| g.clone().into_dense());
        }
    });
    of_permutation
}

fn descend(gates: &mut dyn GateSet, gradients: &Gradients) {
    gates.visit_mut(&mut |_, state| {
        let StateMut::Parameter(parameter) = state else { return };
        let Some(gradient) = gradients.get(parameter).map(|g| g.clone().into_dense()) else {
            return;
        };
        if !parameter.is_frozen() {
            parameter.value_mut().add_assign(&gradient.map(|g| -1e-3 * g.clamp(-10.0, 10.0)));
        }
    });
}

/// What the gates decide on fixed rows: assignments and bits of weights.
fn decided(gates: &dyn GateSet, mode: Mode) -> Vec<(Assignments, Vec<u64>)> {
    let (tape, ids) = (Tape::inference(), ids());
    let routings = gates.route(&pass(mode, 7, &ids), tape.constant(rows(ROWS, D, 1.0, 1000)));
    routings.iter().map(|r| (r.assignments.clone(), bits(&r.weights.value()))).collect()
}

fn learnt(id: &str, experts: usize, share: Share) -> Searched {
    let mut searched = Searched::new(gates(id, experts), options(share, 6), 3);
    (0..8).for_each(|i| {
        step(&mut searched, i);
    });
    searched
}

const ROUTERS: [&str; 5] = ["comet", "top-k", "hash", "dselect-k", "moesart"];
const SHARES: [Share; 3] = [Share::All, Share::Gate, Share::Part(K)];

#[test]
fn learning_mixes_all_experts_then_rounds() {
    for id in ROUTERS {
        let mut searched = Searched::new(gates(id, 8), options(Share::All, 4), 3);
        let plain = gates(id, 8).properties();
        assert_eq!(searched.permutations(), [[0, 1, 2, 3, 4, 5, 6, 7]]);
        assert_eq!(decided(&searched, Mode::Infer), decided(&*gates(id, 8), Mode::Infer), "{id}");
        for i in 0..3 {
            assert_eq!(searched.properties()[0].cardinality, Cardinality::AtMost(8));
            assert_eq!(searched.properties()[0].total_weight, TotalWeight::Any);
            let pairs = decided(&searched, Mode::Train)[0].0.pairs();
            let slope = step(&mut searched, i).expect("the logits learn");
            // Colder matrices have exact zeros, also where a row of them has no gradient.
            if i == 0 {
                assert!(pairs > 3 * ROWS / 2, "{id}: {pairs} pairs while learning");
                assert!(slope.as_slice().iter().any(|&g| g != 0.0), "{id}");
            }
        }
        // The fourth call is not below T.
        assert_eq!(searched.properties(), plain, "{id}");
        let kept = (searched.soft().clone(), searched.permutations().to_vec());
        assert_eq!(step(&mut searched, 3), None, "{id}");
        assert_eq!((searched.soft().clone(), searched.permutations().to_vec()), kept);
        let (assignments, _) = &decided(&searched, Mode::Infer)[0];
        let (before, _) = &decided(&*gates(id, 8), Mode::Infer)[0];
        if let Cardinality::Exactly(k) = plain[0].cardinality {
            assert!((0..ROWS).all(|row| assignments.of_row(row).len() == k), "{id}");
        }
        assert_eq!(assignments.rows(), before.rows());
    }
}

#[test]
fn folded_equals_unfolded_to_the_bit() {
    for id in ROUTERS {
        for share in SHARES {
            let searched = learnt(id, 6, share);
            assert_ne!(searched.permutations()[0], [0, 1, 2, 3, 4, 5], "{id}: nothing to fold");
            let unfolded = [Mode::Train, Mode::Infer].map(|mode| decided(&searched, mode));
            let folded = searched.fold();
            let properties = folded.properties();
            assert_eq!(
                unfolded,
                [Mode::Train, Mode::Infer].map(|mode| decided(&*folded, mode)),
                "{id} {share:?}"
            );
            if share != Share::Part(K) {
                assert_eq!(properties, gates(id, 6).properties(), "{id} {share:?}");
            }
        }
    }
}

#[test]
fn the_experts_at_the_leaves_are_permuted() {
    let x = rows(ROWS, D, 1.0, 1000);
    assert!(learnt("top-k", 6, Share::All).walk_trees(&x).is_none());
    for share in SHARES {
        let searched = learnt("comet", 6, share);
        let walks = searched.walk_trees(&x).expect("it has trees");
        let labels = searched.permutations().to_vec();
        for (gate, walk) in walks.iter().enumerate() {
            for (tree, experts) in walk.experts.iter().enumerate() {
                let label = match share {
                    Share::All => 0,
                    Share::Gate => gate,
                    Share::Part(parts) => gate * parts + tree,
                };
                assert_eq!(*experts, labels[label], "{share:?}");
            }
        }
        assert_eq!(searched.fold().walk_trees(&x), Some(walks), "{share:?}");
    }
}

#[test]
fn the_identity_folds_to_the_gates_themselves() {
    let folded = Searched::new(gates("top-k", 4), options(Share::All, 4), 3).fold();
    let names = |gates: &dyn GateSet| parameters(gates).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&*folded), names(&*gates("top-k", 4)));
    assert!(
        parameters(&*learnt("top-k", 6, Share::All).fold()).contains_key("permutation.rounded")
    );
}

#[test]
fn a_saved_state_continues_to_the_same_bits() {
    for share in SHARES {
        for stop in [0, 2, 5, 7] {
            let noisy = SearchOptions { noise: 0.1, ..options(share, 6) };
            let mut whole = Searched::new(gates("comet", 6), noisy, 3);
            (0..stop).for_each(|i| {
                step(&mut whole, i);
            });
            let mut resumed = Searched::new(gates("comet", 6), noisy, 99);
            for (name, value) in parameters(&whole) {
                set(&mut resumed, &name, &value);
            }
            for i in stop..9 {
                step(&mut whole, i);
                step(&mut resumed, i);
            }
            let numbers = |gates: &Searched| {
                parameters(gates).into_iter().map(|(name, t)| (name, bits(&t))).collect::<Vec<_>>()
            };
            assert_eq!(numbers(&whole), numbers(&resumed), "{share:?} from {stop}");
            assert_eq!(decided(&whole, Mode::Infer), decided(&resumed, Mode::Infer));
        }
    }
}

#[test]
fn lengths_in_epochs_and_fractions_are_told() {
    let soft_at = |gates: &Searched, epoch: u64| {
        let (tape, ids) = (Tape::inference(), ids());
        let pass = Pass { epoch, ..pass(Mode::Train, 0, &ids) };
        let routings = gates.route(&pass, tape.constant(rows(ROWS, D, 1.0, 1)));
        routings[0].assignments.pairs() > K * ROWS
    };
    let new = |learning| {
        // Warm, so that no entry of a soft matrix is zero.
        let schedule = Schedule::doubly_stochastic();
        let options = SearchOptions { learning, schedule, ..SearchOptions::default() };
        Searched::new(gates("top-k", 8), options, 3)
    };
    let mut epochs = new(Learning::Epochs(2.0));
    assert!(soft_at(&epochs, 0) && soft_at(&epochs, 1) && !soft_at(&epochs, 2));
    epochs.begin_training(TrainingLength { steps_per_epoch: 2, epochs: 50 });
    for i in 0..3 {
        assert!(soft_at(&epochs, 9), "{i}");
        step(&mut epochs, i);
    }
    assert!(!soft_at(&epochs, 0));

    let mut fraction = new(Learning::Fraction(0.05));
    assert!(soft_at(&fraction, 99));
    fraction.begin_training(TrainingLength { steps_per_epoch: 10, epochs: 4 });
    assert!(soft_at(&fraction, 0));
    step(&mut fraction, 0);
    assert!(!soft_at(&fraction, 0));
    let mut none = new(Learning::Epochs(0.0));
    none.begin_training(TrainingLength { steps_per_epoch: 10, epochs: 4 });
    assert!(!soft_at(&none, 0));
}

#[test]
fn what_is_learnt_is_frozen() {
    let is_frozen = |gates: &Searched| {
        let mut frozen = false;
        gates.visit(&mut |name, state| {
            if let ("permutation.log_alpha", StateRef::Parameter(parameter)) = (name, state) {
                frozen = parameter.is_frozen();
            }
        });
        frozen
    };
    let mut searched = Searched::new(gates("top-k", 4), options(Share::All, 3), 3);
    step(&mut searched, 0);
    assert!(!is_frozen(&searched));
    step(&mut searched, 1);
    assert!(is_frozen(&searched));
}

#[test]
fn a_threshold_leaves_fewer_experts() {
    let pairs = |threshold| {
        let options = SearchOptions { threshold, ..options(Share::All, 6) };
        let searched = Searched::new(gates("top-k", 8), options, 3);
        decided(&searched, Mode::Train)[0].0.pairs()
    };
    let counts = [0.0, 0.01, 0.5, 1.0].map(pairs);
    assert!(counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
    assert!(counts[0] > 4 * ROWS && counts[2] < counts[0], "{counts:?}");
    assert!((ROWS..=K * ROWS).contains(&counts[3]), "{counts:?}");
}

#[test]
fn parts_of_a_batch_observe_the_same_matrices() {
    let mut whole = Searched::new(gates("top-k", 4), options(Share::All, 6), 3);
    let mut parts = Searched::new(gates("top-k", 4), options(Share::All, 6), 3);
    let (x, ids) = (rows(ROWS, D, 1.0, 5), ids());
    let observe = |gates: &Searched, range: std::ops::Range<usize>| -> Vec<Observed> {
        let tape = Tape::new();
        let part = common::pick_rows(&x, &range.clone().collect::<Vec<_>>());
        let routings = gates.route(&pass(Mode::Train, 0, &ids).rows(range), tape.constant(part));
        routings.into_iter().map(|routing| routing.observed).collect()
    };
    let mut observed = observe(&parts, 0..7);
    for range in [7..8, 8..ROWS] {
        let other = observe(&parts, range);
        observed.iter_mut().zip(&other).for_each(|(all, part)| all.add(part));
    }
    parts.after_step(&observed);
    whole.after_step(&observe(&whole, 0..ROWS));
    assert_eq!(bits(whole.soft()), bits(parts.soft()));
    assert_eq!(whole.permutations(), parts.permutations());
}

/// All rows to expert 0, remembering what it observed.
struct ToFirst(usize, Arc<Mutex<Vec<Observed>>>);

impl Router for ToFirst {
    fn num_experts(&self) -> usize {
        self.0
    }
    fn route<'t>(&self, _: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let rows = x.shape()[0];
        let weights = x.tape().constant(Tensor::full([rows], 1.0));
        Routing::new(Assignments::fixed(self.0, 1, vec![0; rows]), weights)
            .with_observed(Tensor::full([1], 4.5))
    }
    fn after_step(&mut self, observed: &Observed) {
        self.1.lock().unwrap().push(observed.clone());
    }
}

#[test]
fn a_router_observes_its_own_experts() {
    let seen = Arc::default();
    let router = ToFirst(3, Arc::clone(&seen));
    let gates = Box::new(Gates::new(vec![Box::new(router)]));
    let mut searched = Searched::new(gates, options(Share::All, 4), 3);
    (0..6).for_each(|i| {
        step(&mut searched, i);
    });
    let permutations = searched.permutations().to_vec();
    assert_eq!(decided(&searched, Mode::Infer)[0].0.experts()[0], permutations[0][0]);
    let mut folded = Relabelled::new(
        Box::new(Gates::new(vec![Box::new(ToFirst(3, Arc::clone(&seen)))])),
        Share::All,
        permutations,
    );
    step(&mut folded, 7);
    let mut own = Observed::of_load(ROWS, vec![ROWS as u32, 0, 0]);
    own.values = Some(Tensor::full([1], 4.5));
    assert_eq!(*seen.lock().unwrap(), vec![own; 7]);
}

#[test]
fn a_loaded_buffer_that_is_not_a_permutation_counts_as_the_identity() {
    let plain = decided(&*gates("top-k", 4), Mode::Infer);
    for bad in [[0.0, 0.0, 1.0, 2.0], [0.5, 1.0, 2.0, 3.0], [-1.0, 1.0, 2.0, 9e9], [Real::NAN; 4]] {
        let mut searched = learnt("top-k", 4, Share::All);
        set(&mut searched, "permutation.rounded", &Tensor::new([1, 4], bad.to_vec()));
        assert_eq!(searched.permutations(), [[0, 1, 2, 3]], "{bad:?}");
        searched.visit_mut(&mut |_, _| {});
        assert_eq!(searched.permutations(), [[0, 1, 2, 3]]);
        assert_eq!(decided(&searched, Mode::Infer).len(), plain.len());
    }
}

#[test]
fn saturated_parts_keep_one_expert_each() {
    for id in ["comet", "dselect-k"] {
        let mut searched = learnt(id, 8, Share::Part(K));
        searched.visit_mut(&mut |name, state| {
            if let StateMut::Parameter(parameter) = state
                && (name.contains("split") || name.contains("code"))
            {
                let value = parameter.value().map(|w| w * 1e6);
                *parameter.value_mut() = value;
            }
        });
        let (assignments, _) = &decided(&searched, Mode::Infer)[0];
        assert!((0..ROWS).all(|row| (1..=K).contains(&assignments.of_row(row).len())), "{id}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The mixture Σ_e g_e f_e does not change if experts and gates are permuted alike.
    #[test]
    fn relabelling_experts_and_gates_together_changes_nothing(n in 1usize..9, seed: u64, id in 0usize..5) {
        let labels = moe_core::random::permutation(n, seed, "tests", 0);
        let spec = GateSpec { inputs: D, experts: n, k: K.min(n), seed, gate: 0 };
        let id = if spec.k < 2 && ROUTERS[id] == "moesart" { "top-k" } else { ROUTERS[id] };
        let plain = build(id, &spec, 2, &[]);
        let relabelled = Relabelled::new(build(id, &spec, 2, &[]), Share::All, vec![labels.clone()]);
        let (tape, ids) = (Tape::new(), ids());
        let x = tape.constant(rows(ROWS, D, 1.0, seed));
        let experts = rows(ROWS, n, 1.0, seed ^ 1);
        let moved = |i: usize| labels[i % n] as usize + i / n * n;
        let mut moved_experts = Tensor::zeros([ROWS, n]);
        for (i, &value) in experts.as_slice().iter().enumerate() {
            moved_experts.as_mut_slice()[moved(i)] = value;
        }
        let mixture = |gates: &dyn GateSet, experts: &Tensor| -> Vec<f64> {
            let routings = gates.route(&pass(Mode::Train, 0, &ids), x);
            let of_gate = routings.iter().flat_map(|routing| {
                let dense = routing.to_dense();
                (0..ROWS).map(move |row| {
                    let terms = dense.row(row).iter().zip(experts.row(row));
                    terms.map(|(&g, &f)| f64::from(g) * f64::from(f)).sum()
                }).collect::<Vec<f64>>()
            });
            of_gate.collect()
        };
        let (a, b) = (mixture(&*plain, &experts), mixture(&relabelled, &moved_experts));
        prop_assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12), "{:?} {:?}", a, b);
    }

    /// Relabelling moves weights: there and back gives the same bits.
    #[test]
    fn relabelling_has_an_inverse(n in 1usize..9, seed: u64) {
        let labels = moe_core::random::permutation(n, seed, "tests", 0);
        let mut inverse = vec![0; n];
        labels.iter().enumerate().for_each(|(e, &label)| inverse[label as usize] = e as u32);
        let spec = GateSpec { inputs: D, experts: n, k: K.min(n), seed, gate: 0 };
        let (tape, ids) = (Tape::new(), ids());
        let x = tape.variable(rows(ROWS, D, 1.0, seed));
        let route = || build("top-k", &spec, 1, &[]).route(&pass(Mode::Infer, 0, &ids), x).remove(0);
        let (there, back) = (route(), relabel_routing(relabel_routing(route(), &labels), &inverse));
        prop_assert_eq!(&there.assignments, &back.assignments);
        prop_assert_eq!(bits(&there.weights.value()), bits(&back.weights.value()));
        prop_assert_eq!(there.observed, back.observed);
    }
}

#[test]
#[should_panic(expected = "[0, 0, 1] is not a permutation of 3 experts")]
fn labels_that_are_not_a_permutation_are_refused() {
    Relabelled::new(gates("top-k", 3), Share::All, vec![vec![0, 0, 1]]);
}

#[test]
#[should_panic(expected = "threshold: 2.0")]
fn options_out_of_range_are_refused() {
    Searched::new(
        gates("top-k", 3),
        SearchOptions { threshold: 2.0, ..SearchOptions::default() },
        1,
    );
}

#[test]
fn parameters_of_the_registry_reach_the_search() {
    let spec = GateSpec { inputs: D, experts: 4, k: K, seed: 1, gate: 0 };
    let registry = moe_search::with_search(moe_routers::Registry::standard());
    let given = [("search-entropy".to_string(), Value::Real(0.0))].into();
    let searched = registry.get("top-k+").unwrap().build(&spec, 2, &given).unwrap();
    let (tape, ids) = (Tape::inference(), ids());
    let routings =
        searched.route(&pass(Mode::Train, 0, &ids), tape.constant(rows(ROWS, D, 1.0, 1)));
    assert!(routings[0].aux_losses.is_empty());
}
