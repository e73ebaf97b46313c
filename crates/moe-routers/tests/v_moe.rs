//! The gate of V-MoE beyond its recorded numbers (`golden`).

mod common;

use approx::assert_relative_eq;
use common::{bits, build, rng, route};
use moe_core::tape::Tape;
use moe_core::{Mode, Pass, Real, Tensor, random};
use moe_routers::{GateSpec, RouteContext, Router, VMoe, VMoeOptions, Value};

const SPEC: GateSpec = GateSpec { inputs: 4, experts: 5, k: 2, seed: 1, gate: 0 };

#[test]
fn weights_are_probabilities_over_all_experts() {
    // Logits ln 2, ln 5, ln 3, 0 for a row of one 1: 2, 5, 3 and 1 parts of 11.
    let spec = GateSpec { inputs: 1, experts: 4, ..SPEC };
    let mut set = build("v-moe", &spec, 1, &[]);
    let logits = [2f64, 5.0, 3.0, 1.0].map(|v| v.ln() as Real).to_vec();
    common::set(&mut *set, "0.weight", &Tensor::new([1, 4], logits));
    let tape = Tape::inference();
    let dense = route(&*set, tape.constant(Tensor::full([1, 1], 1.0)), Mode::Infer)[0].to_dense();
    for (weight, expected) in dense.as_slice().iter().zip([0.0, 5.0 / 11.0, 3.0 / 11.0, 0.0]) {
        assert_relative_eq!(f64::from(*weight), expected, max_relative = 1e-6);
    }
}

#[test]
fn the_noise_has_deviation_one_over_n() {
    // Logits of zero: the logarithms of the probabilities differ as the noise does.
    let experts = 4;
    let spec = GateSpec { experts, k: experts, ..SPEC };
    let set = build("v-moe", &spec, 1, &[]);
    let tape = Tape::inference();
    let routing = route(&*set, tape.constant(Tensor::zeros([3000, 4])), Mode::Train).remove(0);
    let p = routing.weights.value();
    let differences = p.as_slice().chunks(experts).map(|p| f64::from(p[0] / p[3]).ln());
    let variance = differences.map(|d| d * d).sum::<f64>() / 3000.0;
    // The difference of two numbers of deviation 1/4; five standard errors.
    assert_relative_eq!(variance, 2.0 / 16.0, max_relative = 5.0 * (2.0f64 / 3000.0).sqrt());
}

#[test]
fn training_draws_the_noise_of_its_rows() {
    let gate = VMoe::new(&SPEC, VMoeOptions::default());
    let x = random::uniform([6, 4], 1.0, &mut rng(2, 0));
    let ids = [3, 1, 4, 15, 9, 2];
    let pass = Pass {
        mode: Mode::Train,
        seed: 5,
        step: 7,
        epoch: 0,
        row_ids: &ids,
        keys: &ids,
        groups: None,
        batch_rows: None,
        experts: None,
    };
    let cx = RouteContext { pass, gate: 1 };
    let tape = Tape::inference();
    let x = tape.constant(x);
    let drawn = gate.route(&cx, x);
    let given = gate.route_with_noise(x, cx.standard_normals("noise", [6, 5]));
    assert_eq!(bits(&drawn.to_dense()), bits(&given.to_dense()));
    let other = gate.route(&RouteContext { gate: 2, ..cx }, x);
    assert_ne!(bits(&drawn.to_dense()), bits(&other.to_dense()));
    let none = VMoe::new(&SPEC, VMoeOptions { noise_std: 0.0, ..VMoeOptions::default() });
    let used = RouteContext { pass: Pass { mode: Mode::Infer, ..pass }, gate: 1 };
    assert_eq!(bits(&none.route(&cx, x).to_dense()), bits(&gate.route(&used, x).to_dense()));
}

#[test]
fn losses_are_those_of_training_and_noise() {
    let names = |parameters: &[(&str, Value)], mode| {
        let set = build("v-moe", &SPEC, 1, parameters);
        let tape = Tape::inference();
        let x = tape.constant(random::uniform([6, 4], 1.0, &mut rng(2, 0)));
        let routing = route(&*set, x, mode).remove(0);
        routing.aux_losses.iter().map(|loss| loss.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&[], Mode::Train), ["importance", "load"]);
    assert!(names(&[], Mode::Infer).is_empty());
    assert_eq!(names(&[("noise-std", Value::Int(0))], Mode::Train), ["importance"]);
    let gshard = [("gshard", Value::Int(1)), ("importance", Value::Int(0))];
    assert_eq!(names(&gshard, Mode::Train), ["load", "load-balance"]);
}
