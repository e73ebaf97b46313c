//! The plan of a layer with two gates. Throughput in (row, expert) pairs.

use std::hint::black_box;

use benches::data::{ROWS, assignments, rng};
use criterion::{BenchmarkId, Criterion, Throughput};
use moe_core::dispatch::ExpertPlan;

const K: usize = 2;
/// Numbers of experts (N).
const EXPERTS: [usize; 2] = [16, 64];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch");
    for experts in EXPERTS {
        let mut rng = rng("dispatch");
        let gates = [(); 2].map(|()| assignments(experts, K, &mut rng));
        group.throughput(Throughput::Elements((gates.len() * ROWS * K) as u64));
        let id = BenchmarkId::new("plan", format!("B{ROWS}-N{experts}-K{K}-G2"));
        group.bench_function(id, |bencher| {
            bencher.iter(|| ExpertPlan::new(&[black_box(&gates[0]), black_box(&gates[1])]));
        });
    }
    group.finish();
}
