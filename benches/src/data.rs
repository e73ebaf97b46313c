//! Shapes and random inputs of the benchmarks.

use moe_core::dispatch::Assignments;
use moe_core::rand::Rng;
use moe_core::rand::seq::index;
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::{Shape, Tensor, random};

/// Rows of a batch (B).
pub const ROWS: usize = 512;
/// Width of an input row (D).
pub const INPUTS: usize = 256;
/// Width of an expert's output (O).
pub const OUTPUTS: usize = 256;

/// The random stream for `purpose`, the same in every run.
pub fn rng(purpose: &str) -> ChaCha8Rng {
    random::chacha(1, purpose, 0)
}

/// Uniform numbers in [-1, 1).
pub fn uniform(shape: impl Into<Shape>, rng: &mut ChaCha8Rng) -> Tensor {
    random::uniform(shape, 1.0, rng)
}

/// `k` different experts for each of [`ROWS`] rows, all equally likely.
pub fn assignments(experts: usize, k: usize, rng: &mut ChaCha8Rng) -> Assignments {
    let rows = (0..ROWS).flat_map(|_| index::sample(rng, experts, k));
    Assignments::fixed(experts, k, rows.map(|expert| expert as u32).collect())
}

/// `count` ids below `vocabulary`.
pub fn ids(vocabulary: usize, count: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
    (0..count).map(|_| rng.random_range(0..vocabulary as u32)).collect()
}
