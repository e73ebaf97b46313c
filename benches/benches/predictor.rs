//! Prediction with the MovieLens model: one row and a batch.
//! No row repeats the ids of the row before it. Throughput in rows.

use std::hint::black_box;

use benches::data::ROWS;
use benches::movielens::{batch, first_rows, predictor};
use criterion::{BenchmarkId, Criterion, Throughput};
use moe_core::batch::Batch;
use moe_nn::{ModelScratch, Predictions};

const EXPERTS: usize = 16;
/// Number of different batches, taken in turn.
const BATCHES: u64 = 16;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("predictor");
    let batches: Vec<Batch> = (0..BATCHES).map(batch).collect();
    for router in ["top-k", "comet", "softmax"] {
        let predictor = predictor(router, EXPERTS);
        for rows in [1, ROWS] {
            let parts: Vec<Batch> = batches.iter().map(|batch| first_rows(batch, rows)).collect();
            group.throughput(Throughput::Elements(rows as u64));
            let id = BenchmarkId::new(router, format!("B{rows}"));
            let (mut out, mut scratch) = (Predictions::default(), ModelScratch::default());
            let mut turns = parts.iter().cycle();
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    let part = turns.next().expect("there are batches");
                    let result =
                        predictor.predict(&part.inputs, &part.keys, &mut out, &mut scratch);
                    result.expect("the inputs are those of the model");
                    black_box(&out);
                });
            });
        }
    }
    group.finish();
}
