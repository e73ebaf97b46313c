//! Cost of a permutation while it is learnt, forward and backward: the Sinkhorn operator with its entropy, at the first
//! and the most iterations of the published schedule, and its application to the parts of a gate. Then the cost of a
//! rounded permutation: the assignment, solved once per learning step, and the relabelling. Throughput in matrix elements per
//! iteration, or in rows.

use std::hint::black_box;

use benches::data::{ROWS, rng, uniform};
use criterion::{BenchmarkId, Criterion, Throughput};
use moe_core::dispatch::Assignments;
use moe_core::random::permutation;
use moe_core::tape::Tape;
use moe_core::{Real, Tensor};
use moe_routers::{Parts, Routing, relabel_routing};
use moe_search::{permutation_entropy, permute_parts, round_permutation, sinkhorn};

use crate::operator::bench_operator;

const K: usize = 2;
/// Numbers of experts (N).
const EXPERTS: [usize; 2] = [16, 64];
/// Temperature and iterations at the beginning and at the end of the schedule.
const CALLS: [(Real, usize); 2] = [(1e-3, 20), (1e-7, 150)];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sinkhorn");
    for n in EXPERTS {
        let log_alpha = uniform([1, n, n], &mut rng("sinkhorn")).map(|v| 0.05 * v);
        for (temperature, iterations) in CALLS {
            let work = [(n * n * iterations) as u64; 2];
            let name = format!("operator-N{n}-I{iterations}");
            bench_operator(&mut group, &name, work, std::slice::from_ref(&log_alpha), |v| {
                let temperature = v[0].tape().constant(Tensor::scalar(temperature));
                let soft = sinkhorn(v[0], temperature, iterations, None);
                (soft * soft).sum() + permutation_entropy(soft)
            });
        }
        let weights = uniform([ROWS, K, n], &mut rng("parts")).map(Real::abs);
        let soft = uniform([1, n, n], &mut rng("matrix")).map(Real::abs);
        let name = format!("application-B{ROWS}-N{n}-K{K}");
        bench_operator(&mut group, &name, [ROWS as u64; 2], &[weights, soft.clone()], |v| {
            let parts = Parts { weights: v[0], aux_losses: Vec::new(), renormalise: true };
            permute_parts(parts, v[1]).weights.sum()
        });
        group.throughput(Throughput::Elements((n * n) as u64));
        group.bench_function(BenchmarkId::new("rounding", format!("N{n}")), |bencher| {
            bencher.iter(|| round_permutation(black_box(soft.as_slice()), n));
        });
        let labels = permutation(n, 1, "benches", 0);
        let experts = (0..ROWS as u32).flat_map(|row| [row % 7, 7 + row % 9]).collect();
        let assignments = Assignments::fixed(n, K, experts);
        group.throughput(Throughput::Elements(ROWS as u64));
        group.bench_function(BenchmarkId::new("relabelling", format!("B{ROWS}-N{n}")), |bencher| {
            bencher.iter(|| {
                let tape = Tape::inference();
                let weights = tape.constant(Tensor::full([ROWS * K], 0.5));
                let routing = Routing::new(assignments.clone(), weights);
                relabel_routing(routing, &labels).weights.value()
            });
        });
    }
    group.finish();
}
