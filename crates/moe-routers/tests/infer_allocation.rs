//! Routing at inference does not allocate once its memory has grown: every router of the registry, one row and many, on all
//! threads.

#[path = "common/counting.rs"]
mod counting;

use std::collections::BTreeMap;

use counting::allocations;
use moe_core::StateMut;
use moe_core::random::{chacha, uniform};
use moe_core::tape::Tape;
use moe_routers::{GateSet, GateSpec, Range, Registry, RouterEntry, Value};

const D: usize = 24;
const N: usize = 12;

fn gates(entry: &RouterEntry, given: &BTreeMap<String, Value>) -> Box<dyn GateSet> {
    let spec = GateSpec { inputs: D, experts: N, k: 2, seed: 1, gate: 0 };
    let mut gates = entry.build(&spec, 2, given).expect("the parameters are allowed");
    // Away from zero biases and from splits that are all soft.
    let mut rng = chacha(2, "parameters", 0);
    gates.visit_mut(&mut |_, state| {
        if let StateMut::Parameter(parameter) = state {
            let value = parameter.value_mut();
            value.add_assign(&uniform(*value.shape(), 0.2, &mut rng));
        }
    });
    gates
}

/// The defaults, and each switch, choice and capacity set otherwise.
fn variants(entry: &RouterEntry) -> Vec<BTreeMap<String, Value>> {
    let mut variants = vec![BTreeMap::new()];
    let names: Vec<&str> = entry.info().parameters.iter().map(|spec| spec.name).collect();
    let mut add = |name: &str, value: Value| {
        let mut given = BTreeMap::from([(name.to_string(), value)]);
        variants.push(given.clone());
        if names.contains(&"inference-capacity-factor") {
            given.insert("inference-capacity-factor".into(), Value::Real(0.7));
            variants.push(given);
        }
    };
    for spec in &entry.info().parameters {
        match &spec.range {
            Range::Bool => [true, false].into_iter().for_each(|is| add(spec.name, Value::Bool(is))),
            Range::OneOf(words) => {
                words.iter().for_each(|word| add(spec.name, Value::Text((*word).into())));
            }
            _ => {}
        }
    }
    variants
}

fn main() {
    // Threads that are still starting allocate.
    rayon::broadcast(|_| ());
    for entry in Registry::standard().entries() {
        for given in variants(entry) {
            let gates = gates(entry, &given);
            for rows in [1, 64] {
                let id = &entry.info().id;
                let found = allocations(&*gates, Tape::inference(), D, rows);
                assert_eq!(found, 0, "{id} with {given:?}, {rows} rows");
            }
        }
    }
    // What a tape records is seen.
    let registry = Registry::standard();
    let gates = gates(registry.get("top-k").expect("it is registered"), &BTreeMap::new());
    assert!(allocations(&*gates, Tape::new(), D, 1) >= 10);
    in_parallel();
}

/// As many rows as are worth several threads, inside of their pool.
fn in_parallel() {
    const ROWS: usize = 512;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    for entry in Registry::standard().entries() {
        let gates = gates(entry, &BTreeMap::new());
        pool.broadcast(|_| allocations(&*gates, Tape::inference(), D, ROWS));
        let found = pool.install(|| allocations(&*gates, Tape::inference(), D, ROWS));
        assert_eq!(found, 0, "{}, {ROWS} rows on two threads", entry.info().id);
    }
}
