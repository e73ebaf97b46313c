//! The gate of the Switch Transformer.

mod common;

use approx::assert_relative_eq;
use common::{DOUBLE, bits, build, rng, route};
use moe_core::tape::Tape;
use moe_core::{Mode, Pass, Real, Tensor, random};
use moe_routers::{GateSpec, Router, Switch, SwitchOptions, Value};

const SPEC: GateSpec = GateSpec { inputs: 4, experts: 5, k: 3, seed: 1, gate: 0 };

#[test]
fn a_row_goes_to_its_most_probable_expert_with_its_probability() {
    // Logits ln 2, ln 5, ln 3 for a row of one 1: expert 1 has 5 parts of 10.
    let spec = GateSpec { inputs: 1, experts: 3, ..SPEC };
    let mut set = build("switch", &spec, 1, &[]);
    let logits = [2f64, 5.0, 3.0].map(|v| v.ln() as Real).to_vec();
    common::set(&mut *set, "0.weight", &Tensor::new([1, 3], logits));
    let tape = Tape::inference();
    let x = tape.constant(Tensor::full([1, 1], 1.0));
    let routing = route(&*set, x, Mode::Infer).remove(0);
    assert_eq!(routing.assignments.of_row(0), [1]);
    let tolerance = if DOUBLE { 1e-12 } else { 1e-6 };
    let weight = f64::from(routing.weights.value().item());
    assert_relative_eq!(weight, 0.5, max_relative = tolerance);
    assert!(routing.aux_losses.is_empty());
}

#[test]
fn there_is_one_expert_whatever_k_is() {
    for k in [0, 1, 3, 99] {
        let set = build("switch", &GateSpec { k, ..SPEC }, 1, &[]);
        let tape = Tape::inference();
        let x = tape.constant(random::uniform([9, 4], 1.0, &mut rng(1, 0)));
        assert_eq!(route(&*set, x, Mode::Train)[0].assignments.pairs(), 9);
    }
}

#[test]
fn jitter_multiplies_the_input_of_the_gate() {
    let options = SwitchOptions { jitter: 0.25, ..SwitchOptions::default() };
    let gate = Switch::new(&SPEC, options);
    let values = random::uniform([6, 4], 1.0, &mut rng(2, 0));
    let tape = Tape::new();
    let x = tape.variable(values.clone());
    // Uniform numbers 0, 1/2 and almost 1 are factors 0.75, 1 and almost 1.25.
    for (u, factor) in [(0.0, 0.75), (0.5, 1.0), (0.75, 1.125)] {
        let jittered = gate.route_with_jitter(x, Tensor::full([6, 4], u));
        let scaled = tape.constant(values.map(|v| v * factor));
        let plain = gate.route_with_jitter(scaled, Tensor::full([6, 4], 0.5));
        assert_eq!(bits(&jittered.to_dense()), bits(&plain.to_dense()), "{u}");
    }
    let gradient =
        tape.backward(gate.route_with_jitter(x, Tensor::full([6, 4], 0.0)).weights.sum());
    let scaled = tape.variable(values.map(|v| v * 0.75));
    let plain =
        tape.backward(gate.route_with_jitter(scaled, Tensor::full([6, 4], 0.5)).weights.sum());
    let (gradient, plain) = (gradient.wrt(x).unwrap(), plain.wrt(scaled).unwrap());
    for (jittered, plain) in gradient.as_slice().iter().zip(plain.as_slice()) {
        assert_relative_eq!(*jittered, plain * 0.75, max_relative = 1e-5, epsilon = 1e-7);
    }
}

#[test]
fn jitter_is_drawn_by_row_id_step_and_gate() {
    let x = random::uniform([8, 4], 1.0, &mut rng(3, 0));
    let set = build("switch", &SPEC, 2, &[("jitter", Value::Real(0.5))]);
    let routed = |mode, step, ids: [u64; 8]| {
        let tape = Tape::inference();
        let pass = Pass {
            mode,
            seed: 5,
            step,
            epoch: 0,
            row_ids: &ids,
            keys: &ids,
            groups: None,
            batch_rows: None,
            experts: None,
        };
        let routings = set.route(&pass, tape.constant(x.clone()));
        routings.iter().map(|routing| bits(&routing.to_dense())).collect::<Vec<_>>()
    };
    let ids = [0, 1, 2, 3, 4, 5, 6, 7];
    let first = routed(Mode::Train, 0, ids);
    assert_eq!(first, routed(Mode::Train, 0, ids));
    assert_ne!(first, routed(Mode::Train, 1, ids));
    let moved = routed(Mode::Train, 0, [9, 1, 2, 3, 4, 5, 6, 7]);
    assert_ne!(first[0][..5], moved[0][..5]);
    assert_eq!(first[0][5..], moved[0][5..]);
    // Nothing is drawn at inference.
    assert_eq!(routed(Mode::Infer, 0, ids), routed(Mode::Infer, 1, [7; 8]));
    let calm = build("switch", &SPEC, 2, &[("jitter", Value::Real(0.0))]);
    let tape = Tape::inference();
    let x = tape.constant(x.clone());
    let [trained, used] = [Mode::Train, Mode::Infer].map(|mode| route(&*calm, x, mode).remove(0));
    assert_eq!(bits(&trained.to_dense()), bits(&used.to_dense()));
}

#[test]
fn factors_cover_their_range() {
    // A gate with W = identity and one huge expert leaves no trace of jitter; the logits do. Take them from the
    // probabilities of two experts: x_0 c_0 against 0.
    let spec = GateSpec { inputs: 1, experts: 2, ..SPEC };
    let mut set = build("switch", &spec, 1, &[("jitter", Value::Real(0.1))]);
    common::set(&mut *set, "0.weight", &Tensor::new([1, 2], vec![1.0, 0.0]));
    let tape = Tape::inference();
    let x = tape.constant(Tensor::full([4000, 1], 1.0));
    let routing = route(&*set, x, Mode::Train).remove(0);
    let weights = routing.weights.value();
    let factors = weights.as_slice().iter().map(|&p| (f64::from(p) / (1.0 - f64::from(p))).ln());
    let factors: Vec<f64> = factors.collect();
    assert!(factors.iter().all(|c| (0.9 - 1e-5..=1.1 + 1e-5).contains(c)));
    let mean = factors.iter().sum::<f64>() / 4000.0;
    let variance = factors.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / 4000.0;
    // U(0.9, 1.1): mean 1, variance 0.2² / 12; five standard errors.
    assert!((mean - 1.0).abs() < 5.0 * (0.04f64 / 12.0 / 4000.0).sqrt(), "{mean}");
    assert_relative_eq!(variance, 0.04 / 12.0, max_relative = 0.08);
}

#[test]
fn the_load_balancing_loss_is_on_by_default() {
    let gate = Switch::new(&SPEC, SwitchOptions { jitter: 0.0, ..SwitchOptions::default() });
    let tape = Tape::inference();
    let x = tape.constant(random::uniform([20, 4], 1.0, &mut rng(4, 0)));
    let ids: Vec<u64> = (0..20).collect();
    let pass = Pass {
        mode: Mode::Train,
        seed: 0,
        step: 0,
        epoch: 0,
        row_ids: &ids,
        keys: &ids,
        groups: None,
        batch_rows: None,
        experts: None,
    };
    let routing = gate.route(&moe_routers::RouteContext { pass, gate: 0 }, x);
    let [loss] = routing.aux_losses[..] else { panic!("one loss") };
    assert_eq!(loss.name, "load-balance");
    let mut weight = None;
    gate.visit(&mut |name, state| {
        assert_eq!(name, "weight");
        weight = Some(state.tensor().clone());
    });
    let p = x.matmul(tape.constant(weight.unwrap())).softmax().value();
    let load = routing.assignments.load();
    let mean = |j: usize| (0..20).map(|row| f64::from(p.row(row)[j])).sum::<f64>() / 20.0;
    let sum: f64 = (0..5).map(|j| f64::from(load[j]) / 20.0 * mean(j)).sum();
    let found = f64::from(loss.value.value().item());
    assert_relative_eq!(found, 0.01 * 5.0 * sum, max_relative = 1e-5);
}
