//! The hash gate: its tables, and that nothing but the key matters.

mod common;

use std::collections::BTreeMap;

use common::{build, rng};
use moe_core::rand::Rng;
use moe_core::tape::Tape;
use moe_core::{Mode, Pass, Real, StateRef, Tensor, random};
use moe_routers::{GateSet, GateSpec, HashRouter, HashTable, Router, Value};

const SPEC: GateSpec = GateSpec { inputs: 3, experts: 5, k: 2, seed: 4, gate: 0 };

/// The experts of rows with these keys, gate after gate.
fn experts(set: &dyn GateSet, keys: &[u64], mode: Mode) -> Vec<Vec<u32>> {
    let mut rng = rng(keys.len() as u64, 1);
    let ids: Vec<u64> = keys.iter().map(|_| rng.random()).collect();
    let pass = Pass {
        mode,
        seed: ids.len() as u64,
        step: 8,
        epoch: 1,
        row_ids: &ids,
        keys,
        groups: None,
        batch_rows: None,
        experts: None,
    };
    let tape = Tape::inference();
    let x = tape.constant(random::uniform([keys.len(), 3], 1.0, &mut rng));
    let routings = set.route(&pass, x);
    let of = |routing: &moe_routers::Routing<'_>| {
        assert_eq!(routing.weights.value().as_slice(), vec![1.0; keys.len()]);
        routing.assignments.experts().to_vec()
    };
    routings.iter().map(of).collect()
}

#[test]
fn a_key_has_one_expert_in_every_gate_mode_and_batch() {
    let set = build("hash", &SPEC, 2, &[]);
    let keys: Vec<u64> = (0..100).collect();
    let all = experts(&*set, &keys, Mode::Train);
    assert_eq!(all[0], all[1], "the gates of a layer share the table");
    assert_eq!(experts(&*set, &keys, Mode::Infer), all);
    assert_eq!(experts(&*set, &[42, 7], Mode::Train)[0], [all[0][42], all[0][7]]);
    // Beyond the table a key starts again; K does not matter.
    assert_eq!(experts(&*set, &[42 + 3 * 16_384], Mode::Train)[0], [all[0][42]]);
    let other_k = build("hash", &GateSpec { k: 5, ..SPEC }, 1, &[]);
    assert_eq!(experts(&*other_k, &keys, Mode::Train)[0], all[0]);
    let other_seed = build("hash", &GateSpec { seed: 5, ..SPEC }, 1, &[]);
    assert_ne!(experts(&*other_seed, &keys, Mode::Train)[0], all[0]);
}

#[test]
fn tables_of_both_kinds() {
    const BUCKETS: usize = 10_003;
    let load = |kind| {
        let gate = HashRouter::new(&SPEC, kind, BUCKETS);
        let mut load = [0; 5];
        (0..BUCKETS as u64).for_each(|key| load[gate.expert_of(key) as usize] += 1);
        load
    };
    let mut balanced = load(HashTable::Balanced);
    balanced.sort_unstable();
    assert_eq!(balanced, [2000, 2000, 2001, 2001, 2001]);
    let random = load(HashTable::Random);
    let expected = BUCKETS as f64 / 5.0;
    let chi_square: f64 =
        random.iter().map(|&rows| (f64::from(rows) - expected).powi(2) / expected).sum();
    assert!(chi_square > 0.01 && chi_square < 20.0, "{random:?}");
    // The order is random, too.
    let gate = HashRouter::new(&SPEC, HashTable::Balanced, BUCKETS);
    let same = (1..1000).filter(|&key| gate.expert_of(key) == gate.expert_of(key - 1)).count();
    assert!((100..300).contains(&same), "{same}");
}

#[test]
fn value_stability() {
    let first = |kind| {
        let gate = HashRouter::new(&SPEC, kind, 1000);
        (0..8).map(|key| gate.expert_of(key)).collect::<Vec<_>>()
    };
    assert_eq!(first(HashTable::Random), [1, 2, 2, 3, 1, 1, 1, 1]);
    assert_eq!(first(HashTable::Balanced), [0, 3, 2, 4, 2, 1, 2, 2]);
}

#[test]
fn the_table_is_saved_with_the_model() {
    let parameters = [("table", Value::Text("balanced".into())), ("buckets", Value::Int(50))];
    let first = build("hash", &SPEC, 1, &parameters);
    let mut saved = BTreeMap::new();
    first.visit(&mut |name, state| {
        assert!(matches!(state, StateRef::Buffer(_)), "{name} is not learnt");
        saved.insert(name.to_string(), state.tensor().clone());
    });
    assert_eq!(saved.keys().collect::<Vec<_>>(), ["0.table"]);
    assert_eq!(saved["0.table"].shape()[..], [50]);
    let mut second = build("hash", &GateSpec { seed: 99, ..SPEC }, 1, &parameters);
    let keys: Vec<u64> = (0..60).collect();
    assert_ne!(experts(&*second, &keys, Mode::Infer), experts(&*first, &keys, Mode::Infer));
    common::set(&mut *second, "0.table", &saved["0.table"]);
    assert_eq!(experts(&*second, &keys, Mode::Infer), experts(&*first, &keys, Mode::Infer));
}

#[test]
fn a_damaged_table_names_an_expert_all_the_same() {
    let mut gate = HashRouter::new(&SPEC, HashTable::Random, 4);
    let damaged = Tensor::new([4], vec![Real::NAN, -3.0, 1e9, 2.7]);
    gate.visit_mut(&mut |_, mut state| *state.tensor_mut() = damaged.clone());
    assert_eq!([0, 1, 2, 3].map(|key| gate.expert_of(key)), [0, 0, 4, 2]);
}
