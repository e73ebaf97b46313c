//! The GEMM door in the three layouts of a layer: y = x W, dW = xᵀ dy, dx = dy Wᵀ. Throughput in FLOP/s.

use std::hint::black_box;

use benches::data::{rng, uniform};
use criterion::{BenchmarkId, Criterion, Throughput};
use moe_core::kernel::{Mat, gemm};

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
                bencher.iter(|| gemm(black_box(a), black_box(b), false, black_box(&mut c)));
            });
        }
    }
    group.finish();
}
