//! Every router of the registry with its default parameters, one gate at inference: from rows to experts and weights,
//! without a tape, into reused buffers. Also COMET with every split saturated (`comet-saturated`). Throughput in rows.

use std::hint::black_box;

use benches::data::{INPUTS, ROWS, rng, uniform};
use benches::movielens::{K, gates, saturate};
use criterion::{BenchmarkId, Criterion, Throughput};
use moe_routers::{GateSet, Registry, Scratch};

const EXPERTS: usize = 16;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router_infer");
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
    for entry in Registry::standard().entries() {
        let id = &entry.info().id;
        time(id, &*gates(id, EXPERTS, 1, &[]));
    }
    let mut saturated = gates("comet", EXPERTS, 1, &[]);
    saturate(|f| saturated.visit_mut(f));
    time("comet-saturated", &*saturated);
    group.finish();
}
