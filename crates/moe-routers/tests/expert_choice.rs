//! Expert choice beyond its recorded numbers (`golden`): thresholds and promises.

mod common;

use approx::assert_relative_eq;
use common::{bits, build, pick_rows, rng, route};
use moe_core::tape::Tape;
use moe_core::{Mode, Real, StateRef, Tensor, random};
use moe_routers::{GateSet, GateSpec, Observed, Value};

const SPEC: GateSpec = GateSpec { inputs: 5, experts: 4, k: 2, seed: 1, gate: 0 };

fn rows(count: usize, seed: u64) -> Tensor {
    random::uniform([count, 5], 2.0, &mut rng(seed, 0))
}

fn thresholds(set: &dyn GateSet) -> Vec<f64> {
    let mut found = None;
    set.visit(&mut |name, state| {
        if name == "0.threshold" {
            let StateRef::Buffer(buffer) = state else { panic!("a threshold is not learnt") };
            found = Some(buffer.as_slice().iter().map(|&v| f64::from(v)).collect());
        }
    });
    found.unwrap()
}

/// One training step's routing, without a change of weights.
fn observe(set: &mut dyn GateSet, x: Tensor) -> Observed {
    let tape = Tape::new();
    let observed = route(set, tape.constant(x), Mode::Train).remove(0).observed;
    set.after_step(std::slice::from_ref(&observed));
    observed
}

#[test]
fn experts_take_their_rows_by_hand() {
    // Rows are one-hot: logits are the rows of W. p of expert 0: 1/4, 3/4, 1/2, 3/4.
    let spec = GateSpec { inputs: 4, experts: 2, k: 1, ..SPEC };
    let mut set = build("expert-choice", &spec, 1, &[]);
    let three = 3f64.ln() as Real;
    let logits = vec![0.0, three, three, 0.0, 0.0, 0.0, three, 0.0];
    common::set(&mut *set, "0.weight", &Tensor::new([4, 2], logits));
    let tape = Tape::new();
    let x = tape.constant(Tensor::from_fn([4, 4], |i| if i / 4 == i % 4 { 1.0 } else { 0.0 }));
    let routing = route(&*set, x, Mode::Train).remove(0);
    // Two rows each: expert 0 takes 1 and 3, expert 1 takes 0 and 2.
    let expected = [0.0, 0.75, 0.75, 0.0, 0.0, 0.5, 0.75, 0.0];
    for (weight, expected) in routing.to_dense().as_slice().iter().zip(expected) {
        assert_relative_eq!(f64::from(*weight), expected, max_relative = 1e-6);
    }
    let lowest = routing.observed.values.unwrap();
    for (lowest, expected) in lowest.as_slice().iter().zip([0.75, 0.5]) {
        assert_relative_eq!(f64::from(*lowest), expected, max_relative = 1e-6);
    }
    // Equal rows: the earlier are taken, by both experts.
    let x = tape.constant(Tensor::zeros([6, 4]));
    let routing = route(&*set, x, Mode::Train).remove(0);
    let counts: Vec<usize> = (0..6).map(|row| routing.assignments.of_row(row).len()).collect();
    assert_eq!(counts, [2, 2, 2, 0, 0, 0]);
}

#[test]
fn every_expert_takes_its_capacity() {
    for (count, factor, capacity) in [(40, 1.0, 20), (41, 1.0, 21), (40, 0.3, 6), (40, 9.0, 40)] {
        let set = build("expert-choice", &SPEC, 1, &[("capacity-factor", Value::Real(factor))]);
        let tape = Tape::inference();
        let routing = route(&*set, tape.constant(rows(count, 2)), Mode::Train).remove(0);
        assert_eq!(routing.assignments.load(), [capacity; 4]);
    }
}

#[test]
fn thresholds_are_a_mean_of_the_lowest_probabilities_chosen() {
    let parameters = [("threshold-decay", Value::Real(0.75))];
    let mut set = build("expert-choice", &SPEC, 1, &parameters);
    assert_eq!(thresholds(&*set), [0.0; 4]);
    let first = observe(&mut *set, rows(30, 3)).values.unwrap();
    let expected: Vec<f64> = first.as_slice().iter().map(|&v| f64::from(v)).collect();
    assert_eq!(thresholds(&*set), expected);
    let second = observe(&mut *set, rows(30, 4)).values.unwrap();
    for (threshold, (a, b)) in
        thresholds(&*set).iter().zip(first.as_slice().iter().zip(second.as_slice()))
    {
        let expected = 0.75 * f64::from(*a) + 0.25 * f64::from(*b);
        assert_relative_eq!(*threshold, expected, max_relative = 1e-6);
    }
    let before = thresholds(&*set);
    assert_eq!(observe(&mut *set, rows(0, 4)).values, None);
    assert_eq!(thresholds(&*set), before, "nothing is learnt from no rows");
}

#[test]
fn thresholds_route_rows_by_themselves_and_about_as_many() {
    let mut set = build("expert-choice", &SPEC, 1, &[]);
    let x = rows(150, 5);
    let routed = |set: &dyn GateSet, picked: &[usize]| {
        let tape = Tape::inference();
        let dense = route(set, tape.constant(pick_rows(&x, picked)), Mode::Infer)[0].to_dense();
        (0..picked.len())
            .flat_map(|row| dense.row(row).to_vec())
            .map(|v| f64::from(v).to_bits())
            .collect::<Vec<u64>>()
    };
    let all: Vec<usize> = (0..150).collect();
    // Before the first step every expert is open.
    assert!(routed(&*set, &all).iter().all(|&bits| bits != 0));
    for step in 0..20 {
        observe(&mut *set, rows(500, 100 + step));
    }
    let whole = routed(&*set, &all);
    for size in [1, 7, 64] {
        let parts: Vec<u64> = all.chunks(size).flat_map(|part| routed(&*set, part)).collect();
        assert_eq!(parts, whole, "{size} rows at a time");
    }
    let tape = Tape::inference();
    let routing = route(&*set, tape.constant(rows(4000, 6)), Mode::Infer).remove(0);
    for load in routing.assignments.load() {
        // Half of the rows for each of 4 experts, 2 experts a row.
        assert_relative_eq!(f64::from(load), 2000.0, max_relative = 0.06);
    }
    assert!(routing.aux_losses.is_empty());
}

#[test]
fn inference_by_batch_is_that_of_training() {
    let set = build("expert-choice", &SPEC, 2, &[("inference", Value::Text("batch".into()))]);
    let tape = Tape::inference();
    let x = tape.constant(rows(33, 7));
    for (trained, used) in route(&*set, x, Mode::Train).iter().zip(route(&*set, x, Mode::Infer)) {
        assert_eq!(bits(&trained.to_dense()), bits(&used.to_dense()));
    }
    assert!(set.properties().iter().all(|promised| !promised.row_wise));
    assert_eq!(route(&*set, tape.constant(rows(0, 1)), Mode::Infer)[0].assignments.pairs(), 0);
}

#[test]
fn noise_is_drawn_in_training_alone() {
    let noisy = build("expert-choice", &SPEC, 1, &[("noise-std", Value::Int(4))]);
    let calm = build("expert-choice", &SPEC, 1, &[]);
    let tape = Tape::inference();
    let x = tape.constant(rows(20, 8));
    let routed = |set: &dyn GateSet, mode| bits(&route(set, x, mode)[0].to_dense());
    assert_ne!(routed(&*noisy, Mode::Train), routed(&*calm, Mode::Train));
    assert_eq!(routed(&*noisy, Mode::Infer), routed(&*calm, Mode::Infer));
}
