//! Load losses for gates with noise.

use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Buffer, Real, Tensor};

use crate::aux_loss::aux_loss::AuxLoss;
use crate::aux_loss::balance::spread_of_columns;
use crate::gate::top_k::top_k_indices;

/// The load loss of V-MoE (Riquelme and others, 2021, eq. 8-10): `coefficient · CV(load)²`, with load_j the sum over
/// rows of the probability that expert j would be among the K largest if its noise were drawn again:
/// `Φ((logit_j - t) / noise_std)`, with t the K-th largest of the row's `noisy` logits. It is 0 without rows.
///
/// The gradient flows through the threshold, as in the authors' code.
///
/// # Shapes
/// `logits`, `noisy` `[B, N]` → `[]`
///
/// # Panics
/// If the shapes differ, or K is not in 1..=N.
pub fn load<'t>(
    logits: Var<'t>,
    noisy: Var<'t>,
    noise_std: Real,
    k: usize,
    coefficient: Real,
) -> AuxLoss<'t> {
    assert_eq!(logits.shape(), noisy.shape(), "load: logits with and without noise");
    let threshold = thresholds(noisy, 1, |row, chosen, at| {
        top_k_indices(row, &mut chosen[..k]);
        at[0] = chosen[k - 1];
    });
    let std = logits.tape().constant(Tensor::scalar(noise_std));
    of_margins((logits - threshold) / std, coefficient)
}

/// The load loss of Shazeer and others, 2017 (eq. 8-11): as [`load`], with a standard deviation of the noise for each
/// logit, and with the K-th largest of the *other* noisy logits as the threshold of expert j. With K = N every expert
/// is certain and the loss is 0. Deviations below 1e-6 are replaced by 1e-6.
///
/// # Shapes
/// `logits`, `noisy`, `noise_std` `[B, N]` → `[]`
///
/// # Panics
/// If the shapes differ, or K is not in 1..=N.
pub fn load_with_noise<'t>(
    logits: Var<'t>,
    noisy: Var<'t>,
    noise_std: Var<'t>,
    k: usize,
    coefficient: Real,
) -> AuxLoss<'t> {
    let shape = logits.shape();
    assert!(shape == noisy.shape() && shape == noise_std.shape(), "load: shapes differ");
    let n = shape[1];
    if k == n {
        return AuxLoss { name: "load", value: logits.tape().constant(Tensor::scalar(0.0)) };
    }
    let threshold = thresholds(noisy, n, |row, chosen, at| {
        top_k_indices(row, &mut chosen[..k + 1]);
        at.fill(chosen[k - 1]);
        chosen[..k].iter().for_each(|&j| at[j as usize] = chosen[k]);
    });
    let std = noise_std.clamp(1e-6, Real::INFINITY);
    of_margins((logits - threshold) / std, coefficient)
}

fn of_margins(margins: Var<'_>, coefficient: Real) -> AuxLoss<'_> {
    let probabilities = margins.tape().apply(NormalCdf, &[margins]);
    AuxLoss { name: "load", value: spread_of_columns(probabilities).scale(coefficient) }
}

/// `per_row` elements of each row: `choose(row, working memory for N indices, columns)` writes their columns.
///
/// # Shapes
/// `[B, N]` → `[B, per_row]`
fn thresholds(
    x: Var<'_>,
    per_row: usize,
    choose: impl Fn(&[Real], &mut [u32], &mut [u32]),
) -> Var<'_> {
    let values = x.value();
    let (rows, n) = (values.rows(), values.cols());
    let mut work = Buffer::unspecified(n);
    let mut positions = Buffer::unspecified(rows * per_row);
    for (row, at) in positions.chunks_exact_mut(per_row).enumerate() {
        choose(values.row(row), &mut work, at);
        at.iter_mut().for_each(|at| *at += (row * n) as u32);
    }
    x.reshape([rows * n]).index_select(0, &positions).reshape([rows, per_row])
}

/// The cumulative distribution function of the standard normal distribution.
struct NormalCdf;

impl Operator for NormalCdf {
    fn name(&self) -> &'static str {
        "normal_cdf"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        use std::f64::consts::FRAC_1_SQRT_2;
        inputs[0].map(|x| (0.5 * libm::erfc(-f64::from(x) * FRAC_1_SQRT_2)) as Real)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};
        /// 1 / √(2π)
        const PEAK: Real = (0.5 * FRAC_1_SQRT_2 * FRAC_2_SQRT_PI) as Real;
        let mut dx = at.cotangent;
        for (d, x) in dx.as_mut_slice().iter_mut().zip(at.inputs[0].as_slice()) {
            *d *= PEAK * (-0.5 * x * x).exp();
        }
        gradients.add(0, dx);
    }
}
