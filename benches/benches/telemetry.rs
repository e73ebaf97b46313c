//! Cost of one gate's telemetry in a step, to compare with `router/forward-backward`: statistics of the step, and the
//! record of each row's experts. Throughput in rows.

use benches::data::{ROWS, assignments, rng};
use criterion::{BenchmarkId, Criterion, Throughput};
use moe_core::Tensor;
use moe_routers::telemetry::{Consistency, GateStats};

const K: usize = 2;
/// Numbers of experts (N).
const EXPERTS: [usize; 2] = [16, 64];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("telemetry");
    group.throughput(Throughput::Elements(ROWS as u64));
    let row_ids: Vec<u64> = (0..ROWS as u64).map(|row| row * 1021 % 500_000).collect();
    for experts in EXPERTS {
        let parameters = format!("B{ROWS}-N{experts}-K{K}");
        let assignments = assignments(experts, K, &mut rng("telemetry"));
        let weights = Tensor::from_fn([ROWS * K], |pair| if pair % K == 0 { 0.625 } else { 0.375 });
        let mut stats = GateStats::default();
        group.bench_function(BenchmarkId::new("gate-stats", &parameters), |bencher| {
            bencher.iter(|| stats.add(&assignments, &weights, &[]));
        });
        let mut memory = Consistency::default();
        group.bench_function(BenchmarkId::new("consistency", &parameters), |bencher| {
            bencher.iter(|| memory.add(&row_ids, &assignments));
        });
    }
    group.finish();
}
