//! Elementary functions over a slice that stays in the cache, against a loop over the standard library's. Throughput
//! in elements.

use std::hint::black_box;

use benches::data::{rng, uniform};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use moe_core::Real;
use moe_core::kernel::vector_math::{Erf, Exp, Function, Gelu, Ln, Sigmoid, Softplus, Tanh, map};

const ELEMENTS: usize = 4096;

/// Times `f` on numbers in (0, 8), where every function has a value; the copy of the slice is timed with it.
fn bench_loop(
    group: &mut BenchmarkGroup<'_, WallTime>,
    function: &str,
    way: &str,
    f: impl Fn(&mut [Real]),
) {
    let x = uniform([ELEMENTS], &mut rng("elementary")).map(|v| 4.0 + 3.999 * v);
    let mut y = x.as_slice().to_vec();
    group.throughput(Throughput::Elements(ELEMENTS as u64));
    group.bench_function(BenchmarkId::new(function, way), |bencher| {
        bencher.iter(|| {
            y.copy_from_slice(black_box(x.as_slice()));
            f(&mut y);
            black_box(&y);
        });
    });
}

fn bench_map<F: Function<Real> + Copy>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    function: F,
) {
    bench_loop(group, name, "map", |y| map(function, y));
}

fn bench_std(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, f: impl Fn(Real) -> Real) {
    bench_loop(group, name, "std", |y| y.iter_mut().for_each(|v| *v = f(*v)));
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("elementary");
    bench_map(&mut group, "exp", Exp);
    bench_std(&mut group, "exp", Real::exp);
    bench_map(&mut group, "ln", Ln);
    bench_std(&mut group, "ln", Real::ln);
    bench_map(&mut group, "tanh", Tanh);
    bench_std(&mut group, "tanh", Real::tanh);
    bench_map(&mut group, "sigmoid", Sigmoid);
    bench_std(&mut group, "sigmoid", |x| 1.0 / (1.0 + (-x).exp()));
    bench_map(&mut group, "softplus", Softplus);
    bench_std(&mut group, "softplus", |x| (-x.abs()).exp().ln_1p() + x.max(0.0));
    // The standard library has no error function.
    bench_map(&mut group, "erf", Erf);
    bench_map(&mut group, "gelu", Gelu);
    group.finish();
}
