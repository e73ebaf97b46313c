//! The gate with learnt noise: where the noise comes from, and what remains without it.

mod common;

use common::{build, rng};
use moe_core::random::{self, Philox, standard_normals};
use moe_core::tape::Tape;
use moe_core::{Mode, Pass, Real, Tensor};
use moe_routers::{GateSpec, NoisyTopK, NoisyTopKOptions, RouteContext, Router};

const SPEC: GateSpec = GateSpec { inputs: 3, experts: 6, k: 2, seed: 4, gate: 0 };

fn gate() -> NoisyTopK {
    NoisyTopK::new(&SPEC, NoisyTopKOptions::default())
}

#[test]
fn noise_belongs_to_seed_step_gate_row_and_expert() {
    let gate = gate();
    let x = random::uniform([3, 3], 1.0, &mut rng(1, 0));
    let ids = [8, 1 << 35, 2];
    let pass = Pass {
        mode: Mode::Train,
        seed: 6,
        step: 9,
        epoch: 0,
        row_ids: &ids,
        keys: &ids,
        groups: None,
        batch_rows: None,
        experts: None,
    };
    let tape = Tape::inference();
    let x = tape.constant(x);
    let routed = |pass, number| gate.route(&RouteContext { pass, gate: number }, x).to_dense();
    let mut noise = Tensor::zeros([3, 6]);
    for (row, &id) in noise.as_mut_slice().chunks_mut(6).zip(&ids) {
        standard_normals(Philox::new(6, "router.1.noise", 9), id, row);
    }
    let found = routed(pass, 1);
    assert_eq!(found, gate.route_with_noise(x, noise).to_dense());
    assert_ne!(found, routed(pass, 0));
    assert_ne!(found, routed(Pass { step: 10, ..pass }, 1));
    assert_ne!(found, routed(Pass { seed: 7, ..pass }, 1));
}

#[test]
fn without_noise_it_is_top_k() {
    let set = build("noisy-top-k", &SPEC, 1, &[]);
    let mut plain = build("top-k", &SPEC, 1, &[]);
    for (name, value) in common::parameters(&*set) {
        if name != "0.noise" {
            common::set(&mut *plain, &name, &value);
        }
    }
    let tape = Tape::inference();
    let x = tape.constant(random::uniform([40, 3], 1.0, &mut rng(1, 0)));
    let dense = |set: &dyn moe_routers::GateSet, mode| common::route(set, x, mode)[0].to_dense();
    assert_eq!(dense(&*set, Mode::Infer), dense(&*plain, Mode::Infer));
    assert_ne!(dense(&*set, Mode::Train), dense(&*plain, Mode::Train));
    let none = gate().route_with_noise(x, Tensor::zeros([40, 6])).to_dense();
    assert_eq!(none.shape()[..], [40, 6]);
}

#[test]
fn noise_spreads_rows_as_its_law_says() {
    const ROWS: usize = 40_000;
    // K = 1, logits 0 and 0.6, noise of deviation ln 2 for both: their difference has ln 2 √2, so expert 1 is chosen
    // with probability Φ(0.6 / 0.98026) = Φ(0.61208) = 0.72976.
    let spec = GateSpec { inputs: 1, experts: 2, k: 1, seed: 4, gate: 0 };
    let mut gate = NoisyTopK::new(&spec, NoisyTopKOptions::default());
    gate.visit_mut(&mut |name, mut state| {
        *state.tensor_mut() = match name {
            "bias" => Tensor::new([2], vec![0.0, 0.6 as Real]),
            _ => Tensor::zeros([1, 2]),
        };
    });
    let ids: Vec<u64> = (0..ROWS as u64).collect();
    let pass = Pass {
        mode: Mode::Train,
        seed: 6,
        step: 9,
        epoch: 0,
        row_ids: &ids,
        keys: &ids,
        groups: None,
        batch_rows: None,
        experts: None,
    };
    let tape = Tape::new();
    let x = tape.constant(Tensor::zeros([ROWS, 1]));
    let routing = gate.route(&RouteContext { pass, gate: 0 }, x);
    let share = f64::from(routing.observed.load[1]) / ROWS as f64;
    let p = 0.72976;
    assert!((share - p).abs() < 5.0 * (p * (1.0 - p) / ROWS as f64).sqrt(), "{share}");
}
