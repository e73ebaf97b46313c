//! Small seeded generators and comparisons that the suites share.
#![allow(dead_code)] // each suite uses its part

use moe_core::dispatch::Assignments;
use moe_core::rand::Rng;
use moe_core::rand::seq::{IndexedRandom, SliceRandom};
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::tape::{Tape, Var};
use moe_core::testing::gradcheck;
use moe_core::{Real, Shape, Tensor, random};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};

/// That many cases; failing ones are kept beside the suite's source, to be committed.
pub(crate) fn cases(count: u32) -> Config {
    let kept = FileFailurePersistence::WithSource("proptest-regressions");
    Config { failure_persistence: Some(Box::new(kept)), ..Config::with_cases(count) }
}

/// Draws for the suite: any number of independent streams under one seed.
pub(crate) fn rng(seed: u64, stream: u64) -> ChaCha8Rng {
    random::chacha(seed, "tests", stream)
}

/// Values of either sign with magnitude in [0.1, 1): of size one, and away from a kink at 0.
pub(crate) fn spread(shape: impl Into<Shape>, rng: &mut ChaCha8Rng) -> Tensor {
    Tensor::from_fn(shape, |_| {
        let magnitude: f64 = rng.random_range(0.1..1.0);
        (if rng.random() { magnitude } else { -magnitude }) as Real
    })
}

/// Values that are a tenth or more apart, in random order, none of them 0.
pub(crate) fn distinct(shape: impl Into<Shape>, rng: &mut ChaCha8Rng) -> Tensor {
    let shape = shape.into();
    let mut places: Vec<usize> = (0..shape.size()).collect();
    places.shuffle(rng);
    let middle = shape.size() as Real / 2.0;
    Tensor::from_fn(shape, |i| (places[i] as Real - middle + 0.25) / 10.0)
}

/// Uniform values in [-1, 1).
pub(crate) fn uniform(shape: impl Into<Shape>, rng: &mut ChaCha8Rng) -> Tensor {
    random::uniform(shape, 1.0, rng)
}

/// Random assignments, from sparse to complete: some rows have no expert, some experts no row.
pub(crate) fn assignments(rows: usize, num_experts: usize, rng: &mut ChaCha8Rng) -> Assignments {
    let density = *[0.2, 0.5, 1.0].choose(rng).expect("a choice");
    let complete = density == 1.0 && rng.random();
    let idle: Vec<bool> = (0..num_experts).map(|_| !complete && rng.random_bool(0.2)).collect();
    let mut offsets = vec![0];
    let mut experts = Vec::new();
    for _ in 0..rows {
        let row_idle = !complete && rng.random_bool(0.15);
        for expert in 0..num_experts {
            if !row_idle && !idle[expert] && rng.random_bool(density) {
                experts.push(expert as u32);
            }
        }
        offsets.push(experts.len() as u32);
    }
    Assignments::new(num_experts, offsets, experts).expect("valid by construction")
}

/// Row ids that are no positions, each once, some above 32 bits.
pub(crate) fn row_ids(rows: usize) -> Vec<u64> {
    (0..rows as u64).map(|row| row.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect()
}

/// The rows `picked` of a matrix, in that order.
pub(crate) fn pick_rows(matrix: &Tensor, picked: &[usize]) -> Tensor {
    let rows = picked.iter().flat_map(|&row| matrix.row(row)).copied().collect();
    Tensor::new([picked.len(), matrix.cols()], rows)
}

/// Panics unless both have the same bits.
pub(crate) fn assert_same_bits(a: &[Real], b: &[Real], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}: lengths");
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert_eq!(a.to_bits(), b.to_bits(), "{what}: element {i} is {a:e} and {b:e}");
    }
}

/// Whether `a` equals `b` up to `tolerance` times the largest element of `b`, or times one if that is larger:
/// the inputs here are of size one, and so is what is added up, even where the sum cancels.
pub(crate) fn close(a: &Tensor, b: &Tensor, tolerance: Real) -> bool {
    let scale = b.as_slice().iter().fold(1.0, |max: Real, v| max.max(v.abs()));
    a.shape() == b.shape()
        && a.as_slice().iter().zip(b.as_slice()).all(|(a, b)| (a - b).abs() <= tolerance * scale)
}

/// Panics unless [`close`].
pub(crate) fn assert_close(a: &Tensor, b: &Tensor, tolerance: Real, what: &str) {
    assert!(close(a, b, tolerance), "{what}: {:?} and {:?}", a.to_array(), b.to_array());
}

/// [`gradcheck`], panicking with the mismatch.
pub(crate) fn check(f: impl for<'t> Fn(&'t Tape, &[Var<'t>]) -> Var<'t>, inputs: &[Tensor]) {
    if let Err(mismatch) = gradcheck(f, inputs) {
        panic!("{mismatch}; inputs {inputs:?}");
    }
}

/// One tensor of [`spread`] values per shape.
pub(crate) fn inputs<const I: usize>(seed: u64, shapes: [Shape; I]) -> [Tensor; I] {
    let mut rng = rng(seed, 0);
    shapes.map(|shape| spread(shape, &mut rng))
}

/// Most axes of a tensor whose every element is varied: the number of differences grows with it exponentially.
pub(crate) const MOST_AXES: usize = 4;

/// Any shape of rank 0 to [`MOST_AXES`] with short axes.
pub(crate) fn any_shape() -> impl Strategy<Value = Shape> {
    prop::collection::vec(0usize..4, 0..=MOST_AXES).prop_map(|dims| Shape::new(&dims))
}

/// A product in twice the working precision, and the sum of the magnitudes of its terms.
pub(crate) struct Reference {
    pub(crate) value: f64,
    pub(crate) magnitude: f64,
}

/// Dot product with the rounding error of every product and sum carried along
/// (Ogita, Rump and Oishi, "Accurate sum and dot product", 2005, algorithm Dot2).
pub(crate) fn dot2(terms: impl Iterator<Item = (Real, Real)>) -> Reference {
    let (mut sum, mut error, mut magnitude) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (a, b) in terms {
        let (a, b) = (a as f64, b as f64);
        let product = a * b;
        let product_error = a.mul_add(b, -product);
        let next = sum + product;
        let part = next - sum;
        let sum_error = (sum - (next - part)) + (product - part);
        sum = next;
        error += product_error + sum_error;
        magnitude += product.abs();
    }
    Reference { value: sum + error, magnitude }
}
