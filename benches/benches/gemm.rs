//! The GEMM entry point in the three layouts of a layer: y = x W, dW = xᵀ dy, dx = dy Wᵀ. Throughput in FLOP/s. First one
//! product repeatedly, whose factors stay in the caches; then all experts of a layer in turn, whose factors do not; and
//! the gradients where ReLU, and ReLU with dropout, have left zeros.

use std::hint::black_box;

use benches::data::{rng, uniform};
use criterion::{BenchmarkId, Criterion, Throughput};
use moe_core::kernel::{Around, Mat, gemm, gemm_groups};
use moe_core::rand::Rng;

/// Name, rows, inputs and outputs of a layer.
const SHAPES: [(&str, usize, usize, usize); 5] = [
    ("ragged", 37, 128, 128),
    // The rows of an expert where two gates choose two of 16 for 512 rows: 3.75 slots per row.
    ("expert", 120, 256, 256),
    ("head", 512, 256, 256),
    ("gate", 512, 256, 16),
    ("ffn", 512, 256, 1024),
];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gemm");
    for (name, rows, inputs, outputs) in SHAPES {
        let mut rng = rng("gemm");
        let [x, w, dy] = [[rows, inputs], [inputs, outputs], [rows, outputs]]
            .map(|shape| uniform(shape, &mut rng));
        let x = Mat::new(x.as_slice(), rows, inputs);
        let w = Mat::new(w.as_slice(), inputs, outputs);
        let dy = Mat::new(dy.as_slice(), rows, outputs);
        group.throughput(Throughput::Elements((2 * rows * inputs * outputs) as u64));
        for (layout, a, b, size) in [
            ("AB", x, w, rows * outputs),
            ("AtB", x.t(), dy, inputs * outputs),
            ("ABt", dy, w.t(), rows * inputs),
        ] {
            let mut c = vec![0.0; size];
            let id = BenchmarkId::new(layout, format!("{name}-{rows}x{inputs}x{outputs}"));
            group.bench_function(id, |bencher| {
                bencher.iter(|| gemm(black_box(a), black_box(b), black_box(&mut c)));
            });
        }
    }
    group.finish();
    bench_experts(criterion, "gemm_groups", &["AB", "AtB", "ABt"], 1);
    bench_experts(criterion, "gemm_half_zeros", &["AtB", "ABt"], 2);
    bench_experts(criterion, "gemm_three_quarters_zeros", &["AtB", "ABt"], 4);
}

/// The groups of a layer of experts: number of experts, rows of each, inputs and outputs.
const LAYERS: [(&str, usize, usize, usize, usize); 3] = [
    ("movielens", 16, 120, 256, 256),
    ("ffn-up", 8, 512, 256, 1024),
    ("ffn-down", 8, 512, 1024, 256),
];

/// One in `left` elements of dy keeps its value, the others are zero.
fn bench_experts(criterion: &mut Criterion, name: &str, layouts: &[&str], left: u32) {
    let mut group = criterion.benchmark_group(name);
    for (name, experts, rows, inputs, outputs) in LAYERS {
        let mut rng = rng("gemm_groups");
        let [x, w, dy] = [[rows, inputs], [inputs, outputs], [rows, outputs]]
            .map(|[r, c]| uniform([experts, r, c], &mut rng));
        let dy = dy.map(|value| if rng.random_ratio(1, left) { value } else { 0.0 });
        let of = |tensor: &'static str, expert: usize| {
            let (all, rows, cols) = match tensor {
                "x" => (&x, rows, inputs),
                "w" => (&w, inputs, outputs),
                _ => (&dy, rows, outputs),
            };
            let size = rows * cols;
            Mat::new(&all.as_slice()[expert * size..][..size], rows, cols)
        };
        group.throughput(Throughput::Elements((2 * experts * rows * inputs * outputs) as u64));
        for &layout in layouts {
            let (m, n) = match layout {
                "AB" => (rows, outputs),
                "AtB" => (inputs, outputs),
                _ => (rows, inputs),
            };
            let factors = |expert: usize| match layout {
                "AB" => (of("x", expert), of("w", expert)),
                "AtB" => (of("x", expert).t(), of("dy", expert)),
                _ => (of("dy", expert), of("w", expert).t()),
            };
            let mut c = vec![0.0; experts * m * n];
            let id =
                BenchmarkId::new(layout, format!("{name}-{experts}x{rows}x{inputs}x{outputs}"));
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    gemm_groups(experts, factors, Around::default(), black_box(&mut c));
                });
            });
        }
    }
    group.finish();
}
