//! What the benchmarks are given, and how operators of the tape are timed.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Throughput};
use moe_core::dispatch::Assignments;
use moe_core::rand::Rng;
use moe_core::rand::seq::index;
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::tape::{Tape, Var};
use moe_core::{Shape, Tensor, random};

/// B.
pub(crate) const ROWS: usize = 512;
/// D.
pub(crate) const INPUTS: usize = 256;
/// O.
pub(crate) const OUTPUTS: usize = 256;

/// The draws for `purpose`, the same in every run.
pub(crate) fn rng(purpose: &str) -> ChaCha8Rng {
    random::chacha(1, purpose, 0)
}

/// Uniform numbers in [-1, 1).
pub(crate) fn uniform(shape: impl Into<Shape>, rng: &mut ChaCha8Rng) -> Tensor {
    random::uniform(shape, 1.0, rng)
}

/// `k` different experts for each of [`ROWS`] rows, all equally likely.
pub(crate) fn assignments(experts: usize, k: usize, rng: &mut ChaCha8Rng) -> Assignments {
    let rows = (0..ROWS).flat_map(|_| index::sample(rng, experts, k));
    Assignments::fixed(experts, k, rows.map(|expert| expert as u32).collect())
}

/// `count` ids below `vocabulary`.
pub(crate) fn ids(vocabulary: usize, count: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
    (0..count).map(|_| rng.random_range(0..vocabulary as u32)).collect()
}

/// Times `f` on its own (`forward`), and recorded with its backward pass into all inputs (`forward-backward`).
/// `work` is that of either.
pub(crate) fn bench_operator(
    group: &mut BenchmarkGroup<'_, WallTime>,
    parameters: &str,
    work: [u64; 2],
    inputs: &[Tensor],
    f: impl for<'t> Fn(&[Var<'t>]) -> Var<'t>,
) {
    group.throughput(Throughput::Elements(work[0]));
    group.bench_function(BenchmarkId::new("forward", parameters), |bencher| {
        bencher.iter(|| {
            let tape = Tape::inference();
            f(&leaves(&tape, black_box(inputs))).value()
        });
    });
    let tape = Tape::inference();
    let shape = f(&leaves(&tape, inputs)).shape();
    let cotangent = uniform(&shape[..], &mut rng("cotangent"));
    group.throughput(Throughput::Elements(work[1]));
    group.bench_function(BenchmarkId::new("forward-backward", parameters), |bencher| {
        bencher.iter(|| {
            let tape = Tape::new();
            let output = f(&leaves(&tape, black_box(inputs)));
            tape.backward_from(output, cotangent.clone())
        });
    });
}

fn leaves<'t>(tape: &'t Tape, inputs: &[Tensor]) -> Vec<Var<'t>> {
    inputs.iter().map(|input| tape.variable(input.clone())).collect()
}
