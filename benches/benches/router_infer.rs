//! Every router of the registry with its default parameters, one gate in use: from rows to experts and weights, without a
//! tape, in memory that is used again; besides, COMET with every split saturated (`comet-saturated`). Throughput in rows.

use std::collections::BTreeMap;
use std::hint::black_box;

use benches::data::{INPUTS, ROWS, rng, uniform};
use benches::movielens::saturate;
use criterion::{BenchmarkId, Criterion, Throughput};
use moe_routers::{GateSet, GateSpec, Registry, Scratch};

const K: usize = 2;
const EXPERTS: usize = 16;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router_infer");
    let registry = Registry::standard();
    let build = |id: &str| {
        let spec = GateSpec { inputs: INPUTS, experts: EXPERTS, k: K, seed: 1, gate: 0 };
        let entry = registry.get(id).expect("the router is registered");
        entry.build(&spec, 1, &BTreeMap::new()).expect("the defaults are allowed")
    };
    let mut time = |name: &str, gates: &dyn GateSet| {
        for rows in [1, ROWS] {
            let x = uniform([rows, INPUTS], &mut rng("router_infer"));
            let keys: Vec<u64> = (0..rows as u64).collect();
            let (mut out, mut scratch) = (Vec::new(), Scratch::default());
            group.throughput(Throughput::Elements(rows as u64));
            let parameters = format!("B{rows}-D{INPUTS}-N{EXPERTS}-K{K}");
            group.bench_function(BenchmarkId::new(name, parameters), |bencher| {
                bencher.iter(|| gates.infer(black_box(&x), &keys, &mut out, &mut scratch));
            });
        }
    };
    for entry in registry.entries() {
        let id = &entry.info().id;
        time(id, &*build(id));
    }
    let mut saturated = build("comet");
    saturate(|f| saturated.visit_mut(f));
    time("comet-saturated", &*saturated);
    group.finish();
}
