//! Times operators of the tape.

use std::hint::black_box;

use benches::data::{rng, uniform};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Throughput};
use moe_core::Tensor;
use moe_core::tape::{Tape, Var};

/// Times `f` on its own (`forward`), and recorded with its backward pass into all inputs (`forward-backward`).
/// `work` holds the units of throughput of each.
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
