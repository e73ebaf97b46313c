//! A training step of COMET's MovieLens model on synthetic ids: forward, backward, Adam. Throughput in rows. The dense
//! twin is the same model with the softmax gate, which computes every expert. Also COMET with a permutation search: while
//! the permutation is learnt, with the most iterations of the schedule and almost every expert for every row
//! (`comet+-learning`), and after it has been rounded (`comet+-rounded`).

use std::hint::black_box;
use std::time::Duration;

use benches::data::ROWS;
use benches::movielens::{K, batch, learning, model, rounded, tasks};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use moe_core::tape::Tape;
use moe_nn::{Optimizer, OptimizerOptions, StepContext, train_step};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("movielens_step");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(4));
    let (batch, tasks) = (batch(0), tasks());
    let start =
        StepContext { seed: 1, step: 0, epoch: 0, tasks: &tasks, task_weights: &[0.5, 0.5] };
    let cases = [
        ("top-k", "top-k", 16, vec![]),
        ("softmax", "softmax", 16, vec![]),
        ("softmax", "softmax", 64, vec![]),
        ("comet", "comet", 16, vec![]),
        ("comet+-learning", "comet+", 16, learning()),
        ("comet+-rounded", "comet+", 16, rounded()),
    ];
    for (name, router, experts, parameters) in cases {
        let mut model = model(router, experts, &parameters);
        // With a step size of 0 every iteration routes alike.
        let options = OptimizerOptions { learning_rate: 0.0, ..OptimizerOptions::default() };
        let mut optimizer = Optimizer::new(options);
        let mut tape = Tape::new();
        let mut steps = 0;
        let id = BenchmarkId::new(name, format!("B{ROWS}-N{experts}-K{K}"));
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                let at = StepContext { step: steps, ..start };
                let parts = black_box(std::slice::from_ref(&batch));
                train_step(&mut tape, &mut model, &mut optimizer, &mut (), &at, parts)
                    .expect("loss and gradients are finite");
                steps += 1;
            });
        });
    }
    group.finish();
}
