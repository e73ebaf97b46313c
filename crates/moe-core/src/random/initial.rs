use ndarray::Array1;
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::Uniform;
use rand_chacha::ChaCha8Rng;

use crate::real::Real;
use crate::tensor::{Shape, Tensor};

/// Independent draws from U(-`bound`, `bound`).
///
/// They are drawn in double precision and rounded, so that both precisions start from the same numbers.
///
/// # Panics
/// If `bound` is not positive and finite.
pub fn uniform(shape: impl Into<Shape>, bound: f64, rng: &mut ChaCha8Rng) -> Tensor {
    let shape = shape.into();
    let law = Uniform::new(-bound, bound).expect("the bound is positive and finite");
    let values = Array1::<f64>::random_using(shape.size(), law, rng);
    Tensor::new(shape, values.iter().map(|&v| v as Real).collect())
}

/// Glorot and Bengio's uniform law for the weights between `fan_in` and `fan_out` units:
/// U(±√(6 / (fan_in + fan_out))), as Keras does for dense layers.
pub fn glorot_uniform(
    shape: impl Into<Shape>,
    fan_in: usize,
    fan_out: usize,
    rng: &mut ChaCha8Rng,
) -> Tensor {
    uniform(shape, (6.0 / (fan_in + fan_out) as f64).sqrt(), rng)
}
