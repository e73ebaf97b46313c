//! Times whole layers and training steps against the limits of the machine, and prints JSON lines with the keys of the
//! PyTorch script that makes the same measurements. `of_limit` is the measured time divided by the shortest time in which
//! the same threads can do the operations of its products: that of multiply-adds from registers, measured just before.
//!
//! ```text
//! cargo run --release -p benches --bin peers -- --threads 2
//! ```
#![allow(clippy::print_stderr, reason = "errors of a program go to stderr")]

mod ffn;
mod limits;
mod memory;
mod movielens;
mod report;
mod timing;

use clap::builder::PossibleValuesParser;
use clap::{Parser, ValueEnum};
use serde_json::json;

use report::{Report, rounded};
use timing::{Case, Rounds, median};

/// Measure layers, training steps and predictions on this machine, one JSON line each
#[derive(Parser, Debug)]
struct Args {
    /// Measure only these; everything by default
    #[arg(long, value_enum, num_args = 1..)]
    bench: Vec<Bench>,
    /// Measure only these variants of the MovieLens model, such as `top-k`; all by default
    #[arg(long, num_args = 1.., value_parser = PossibleValuesParser::new(movielens::names()))]
    variants: Vec<String>,
    /// Measure with each of these numbers of threads in turn
    #[arg(long, num_args = 1.., default_values_t = [1, 2], value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Vec<u16>,
    /// Repeat each measurement this number of times
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Measure feed-forward layers with these numbers of experts
    #[arg(long, num_args = 1.., default_values_t = [8, 16, 32, 64, 128], value_parser = clap::value_parser!(u16).range(2..))]
    experts: Vec<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Bench {
    /// Resident memory of training.
    Memory,
    /// Limits of the machine: multiply-adds and memory bandwidth.
    Limits,
    /// A training step of the MovieLens model with each router.
    Steps,
    /// Predictions of the MovieLens model.
    Inference,
    /// A feed-forward layer of experts, forward and backward.
    Ffn,
}

fn main() {
    let args = Args::parse();
    let wanted = |bench| args.bench.is_empty() || args.bench.contains(&bench);
    let variant = |name: &str| args.variants.is_empty() || args.variants.iter().any(|v| v == name);
    let rounds = |block| Rounds { rounds: usize::from(args.rounds), block };
    for &threads in &args.threads {
        let threads = usize::from(threads);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("the system has threads");
        let report = Report { threads };
        pool.install(|| {
            if wanted(Bench::Memory) && threads == usize::from(args.threads[0]) {
                memory::training(&report);
            }
            if wanted(Bench::Limits) {
                limits(&report, rounds(1));
            }
            if wanted(Bench::Steps) {
                movielens::steps(&report, rounds(7), variant);
            }
            if wanted(Bench::Inference) {
                movielens::inference(&report, rounds(20), variant);
            }
            if wanted(Bench::Ffn) {
                let experts: Vec<usize> = args.experts.iter().map(|&n| n.into()).collect();
                ffn::layers(&report, rounds(2), &experts);
            }
        });
    }
}

fn limits(report: &Report, rounds: Rounds) {
    let mut arrays = limits::Arrays::new(report.threads);
    let bytes = arrays.bytes();
    let times = rounds.time(&mut [Case::new(0.0, move || arrays.triad())]);
    const FLOPS: f64 = 1e9;
    let rate = |_| FLOPS / limits::seconds(FLOPS);
    let mut rates: Vec<f64> = (0..rounds.rounds).map(rate).collect();
    let (gflops, gigabytes) = (median(&mut rates) / 1e9, bytes / times[0].median / 1e6);
    let fields = json!({ "gflops": rounded(gflops), "triad_gb_per_s": rounded(gigabytes) });
    report.line("limits", fields);
}
