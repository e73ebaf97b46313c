//! The cosine gate beyond its recorded numbers (`golden`).

mod common;

use approx::assert_relative_eq;
use common::{DOUBLE, bits, build, rng, route};
use moe_core::tape::{Tape, Var};
use moe_core::testing::gradcheck;
use moe_core::{Mode, Real, StateMut, Tensor, random};
use moe_routers::{Cardinality, GateSet, GateSpec, Observed, TotalWeight, Value};

const SPEC: GateSpec = GateSpec { inputs: 5, experts: 6, k: 2, seed: 1, gate: 0 };

fn word(text: &str) -> Value {
    Value::Text(text.into())
}

fn dense(set: &dyn GateSet, x: &Tensor) -> Tensor {
    let tape = Tape::inference();
    route(set, tape.constant(x.clone()), Mode::Infer)[0].to_dense()
}

#[test]
fn parameters_are_those_of_the_formula() {
    let names = |logits| {
        let parameters = [("logits", word(logits)), ("projection", Value::Int(3))];
        let found = common::parameters(&*build("x-moe", &SPEC, 1, &parameters));
        found.iter().map(|(name, value)| format!("{name} {:?}", value.shape())).collect::<Vec<_>>()
    };
    let shared = ["0.embedding [6, 3]", "0.projection.weight [5, 3]"];
    assert_eq!(names("cosine"), [shared[0], "0.log-scale [1]", "0.projection.bias [3]", shared[1]]);
    assert_eq!(names("unit-embedding"), shared);
}

#[test]
fn weights_by_hand() {
    // h = x = (3, 4), embeddings (2, 0), (0, 5), (-1, 0): cosines 0.6, 0.8, -0.6. Temperature 1/2: logits 1.2, 1.6, -1.2.
    let spec = GateSpec { inputs: 2, experts: 3, k: 2, ..SPEC };
    let weights = |logits, combine, expected: [f64; 3]| {
        let parameters =
            [("projection", Value::Int(2)), ("logits", word(logits)), ("combine", word(combine))];
        let mut set = build("x-moe", &spec, 1, &parameters);
        let identity = Tensor::new([2, 2], vec![1.0, 0.0, 0.0, 1.0]);
        common::set(&mut *set, "0.projection.weight", &identity);
        let embedding = Tensor::new([3, 2], vec![2.0, 0.0, 0.0, 5.0, -1.0, 0.0]);
        common::set(&mut *set, "0.embedding", &embedding);
        let found = dense(&*set, &Tensor::new([1, 2], vec![3.0, 4.0]));
        for (found, expected) in found.as_slice().iter().zip(expected) {
            assert_relative_eq!(f64::from(*found), expected, max_relative = 1e-5);
        }
    };
    let softmax = |logits: [f64; 3], over: usize| {
        let sum: f64 = logits[..over].iter().map(|v| v.exp()).sum();
        logits.map(|v| v.exp() / sum)
    };
    let p = softmax([1.2, 1.6, -1.2], 3);
    weights("cosine", "dense", p);
    weights("cosine", "top-k", [p[0], p[1], 0.0]);
    let two = softmax([1.2, 1.6, -1.2], 2);
    weights("cosine", "top-k-normalised", [two[0], two[1], 0.0]);
    // Not divided by |h| = 5, no temperature: 3, 4, -3.
    weights("unit-embedding", "dense", softmax([3.0, 4.0, -3.0], 3));
}

#[test]
fn gradients_are_the_slopes_of_all_forms() {
    let x = random::uniform([6, 5], 1.0, &mut rng(5, 0));
    for logits in ["cosine", "unit-embedding"] {
        for combine in ["dense", "top-k", "top-k-normalised"] {
            let parameters = [("logits", word(logits)), ("combine", word(combine))];
            let set = build("x-moe", &SPEC, 1, &parameters);
            gradcheck(|_, vars| squares_of(&*set, vars[0]), std::slice::from_ref(&x))
                .unwrap_or_else(|error| panic!("{logits}, {combine}: {error}"));
        }
    }
}

fn squares_of<'t>(set: &dyn GateSet, x: Var<'t>) -> Var<'t> {
    route(set, x, Mode::Infer).remove(0).weights.powi(2)
}

#[test]
fn the_scale_is_bounded() {
    let mut set = build("x-moe", &SPEC, 1, &[("combine", word("dense"))]);
    let x = random::uniform([7, 5], 1.0, &mut rng(2, 0));
    let at = |set: &mut dyn GateSet, log_scale: Real| {
        common::set(set, "0.log-scale", &Tensor::full([1], log_scale));
        let tape = Tape::new();
        let routing = route(set, tape.constant(x.clone()), Mode::Train).remove(0);
        let factors = random::uniform([42], 1.0, &mut rng(2, 1));
        let gradients = tape.backward((routing.weights * tape.constant(factors)).sum());
        let slope = common::gradients_of(set, &gradients)["0.log-scale"].as_slice()[0];
        (bits(&routing.to_dense()), slope)
    };
    let ((bound, _), (beyond, slope)) = (at(&mut *set, 4.605_170_2), at(&mut *set, 50.0));
    assert_eq!(slope, 0.0, "no gradient beyond the bound");
    if !DOUBLE {
        assert_eq!(bound, beyond);
    }
    assert_ne!(at(&mut *set, 1.0).1, 0.0);
    assert_ne!(at(&mut *set, 1.0).0, beyond);
}

#[test]
fn rows_of_any_length_give_numbers() {
    for logits in ["cosine", "unit-embedding"] {
        let set = build("x-moe", &SPEC, 1, &[("logits", word(logits))]);
        for size in [0.0, 1e-20, 1e4] {
            let x = random::uniform([4, 5], 1.0, &mut rng(3, 0)).map(|v| v * size as Real);
            let tape = Tape::new();
            let x = tape.variable(x);
            let routing = route(&*set, x, Mode::Train).remove(0);
            assert!(routing.weights.value().as_slice().iter().all(|w| (0.0..=1.0).contains(w)));
            let gradients = tape.backward(routing.weights.powi(2).sum());
            for (name, gradient) in common::gradients_of(&*set, &gradients) {
                let finite = gradient.as_slice().iter().all(|g| g.is_finite());
                assert!(finite, "{logits}, {size}: {name}");
            }
        }
    }
}

#[test]
fn embeddings_keep_their_length_where_torchscale_keeps_it() {
    let parameters = [("logits", word("unit-embedding"))];
    let mut set = build("x-moe", &SPEC, 1, &parameters);
    let length = |set: &dyn GateSet| {
        let embedding = common::parameters(set).remove("0.embedding").unwrap();
        let square = |row: &[Real]| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
        (0..6).map(|row| square(embedding.row(row)).sqrt()).collect::<Vec<_>>()
    };
    let all = |lengths: Vec<f64>| lengths.iter().all(|l| (l - 1.5).abs() < 1e-6);
    assert!(all(length(&*set)));
    let x = random::uniform([9, 5], 1.0, &mut rng(4, 0));
    let before = dense(&*set, &x);
    let longer = common::parameters(&*set)["0.embedding"].map(|v| v * 3.0);
    common::set(&mut *set, "0.embedding", &longer);
    set.after_step(&[Observed::default()]);
    assert!(all(length(&*set)));
    for (a, b) in before.as_slice().iter().zip(dense(&*set, &x).as_slice()) {
        assert_relative_eq!(*a, *b, max_relative = 1e-5);
    }
    // A frozen one stays as it is; so does that of the cosine gate.
    common::set(&mut *set, "0.embedding", &longer);
    set.visit_mut(&mut |_, state| {
        if let StateMut::Parameter(parameter) = state {
            parameter.set_frozen(true);
        }
    });
    set.after_step(&[Observed::default()]);
    assert_eq!(common::parameters(&*set)["0.embedding"], longer);
    let mut cosine = build("x-moe", &SPEC, 1, &[]);
    let start = common::parameters(&*cosine);
    cosine.after_step(&[Observed::default()]);
    assert_eq!(common::parameters(&*cosine), start);
}

#[test]
fn promises_follow_the_weights() {
    let promised = |combine, k| {
        let set = build("x-moe", &GateSpec { k, ..SPEC }, 1, &[("combine", word(combine))]);
        let promised = set.properties()[0];
        (promised.cardinality, promised.total_weight)
    };
    assert_eq!(promised("dense", 2), (Cardinality::Exactly(6), TotalWeight::One));
    assert_eq!(promised("top-k", 2), (Cardinality::Exactly(2), TotalWeight::AtMostOne));
    assert_eq!(promised("top-k", 6), (Cardinality::Exactly(6), TotalWeight::One));
    assert_eq!(promised("top-k-normalised", 2), (Cardinality::Exactly(2), TotalWeight::One));
}
