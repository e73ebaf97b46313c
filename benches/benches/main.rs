//! The kernels and the training step. `CONTRIBUTING.md` says how to compare two commits.
//!
//! Shapes are those of training unless a module says otherwise: the MovieLens model of COMET (B = 512, 16 experts from
//! 256 to 256, K = 2, two gates). All random inputs come from one seed. Each module names its unit of throughput.

mod combine;
mod dispatch;
mod elementary;
mod embedding;
mod gemm;
mod grouped_linear;
mod movielens_step;
mod operator;
mod optimizer;
mod pictures;
mod predictor;
mod ratings;
mod router;
mod sinkhorn;
mod telemetry;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    gemm::bench(&mut criterion);
    grouped_linear::bench(&mut criterion);
    dispatch::bench(&mut criterion);
    combine::bench(&mut criterion);
    router::bench(&mut criterion);
    sinkhorn::bench(&mut criterion);
    optimizer::bench(&mut criterion);
    elementary::bench(&mut criterion);
    embedding::bench(&mut criterion);
    telemetry::bench(&mut criterion);
    movielens_step::bench(&mut criterion);
    predictor::bench(&mut criterion);
    ratings::bench(&mut criterion);
    pictures::bench(&mut criterion);
    criterion.final_summary();
}
