//! Auxiliary losses that are means over rows.

use moe_core::kernel::for_row_blocks2;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Real, Tensor};

use crate::aux_loss::aux_loss::AuxLoss;
use crate::gate::top_k::top_k_assignments;

/// The trimmed lasso of MOESART: `coefficient` times the mean over rows of the probability outside the row's K
/// largest. It is 0 if every row has all its probability on K experts, or without rows.
///
/// # Shapes
/// `probabilities` `[B, N]` → `[]`
///
/// # Panics
/// If K is above N.
pub fn trimmed_lasso<'t>(probabilities: Var<'t>, k: usize, coefficient: Real) -> AuxLoss<'t> {
    let largest = top_k_assignments(&probabilities.value(), k);
    // The tail is summed directly: 1 minus the K largest would lose a small tail to rounding.
    mean_of_rows(probabilities, "trimmed-lasso", coefficient, move |row, p| {
        let largest = largest.of_row(row);
        largest.iter().for_each(|&j| p[j as usize] = 0.0);
        let outside = p.iter().sum();
        p.fill(1.0);
        largest.iter().for_each(|&j| p[j as usize] = 0.0);
        outside
    })
}

/// The router z-loss: `coefficient` times the mean over rows of (logsumexp of the logits)²
/// (Zoph and others, ST-MoE, 2022, eq. 5). It is 0 without rows.
///
/// # Shapes
/// `logits` `[B, N]` → `[]`
pub fn router_z(logits: Var<'_>, coefficient: Real) -> AuxLoss<'_> {
    mean_of_rows(logits, "router-z", coefficient, |_, row| {
        let max = row.iter().copied().fold(Real::NEG_INFINITY, Real::max);
        let mut sum = 0.0;
        for o in row.iter_mut() {
            *o = (*o - max).exp();
            sum += *o;
        }
        let z = max + sum.ln();
        row.iter_mut().for_each(|e| *e *= 2.0 * z / sum);
        z * z
    })
}

/// The entropy of the softmax: `coefficient` times the mean over rows of `Σ_j -p_j ln p_j`. With a positive
/// coefficient rows are driven towards few experts. It is 0 without rows.
///
/// # Shapes
/// `logits` `[B, N]` → `[]`
pub fn entropy(logits: Var<'_>, coefficient: Real) -> AuxLoss<'_> {
    mean_of_rows(logits, "entropy", coefficient, |_, row| {
        let max = row.iter().copied().fold(Real::NEG_INFINITY, Real::max);
        let sum: Real = row.iter().map(|o| (o - max).exp()).sum();
        let log_sum = sum.ln();
        let log_p = |o: Real| o - max - log_sum;
        let entropy: Real = row.iter().map(|&o| -log_p(o) * log_p(o).exp()).sum();
        row.iter_mut().for_each(|o| *o = -(log_p(*o) + entropy) * log_p(*o).exp());
        entropy
    })
}

/// `coefficient` times the mean over rows of `f(row index, row)`, which returns the value and replaces the row by the
/// gradient.
fn mean_of_rows<'t>(
    x: Var<'t>,
    name: &'static str,
    coefficient: Real,
    f: impl Fn(usize, &mut [Real]) -> Real + Send + Sync + 'static,
) -> AuxLoss<'t> {
    let scale = coefficient / x.shape()[0].max(1) as Real;
    let mean = MeanOfRows { name, scale, f, gradient: Tensor::zeros([0]) };
    AuxLoss { name, value: x.tape().apply(mean, &[x]) }
}

struct MeanOfRows<F> {
    name: &'static str,
    /// Factor of the sum over rows.
    scale: Real,
    f: F,
    /// Gradient of the sum.
    gradient: Tensor,
}

impl<F> Operator for MeanOfRows<F>
where
    F: Fn(usize, &mut [Real]) -> Real + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let (rows, cols) = (inputs[0].rows(), inputs[0].cols());
        let mut gradient = inputs[0].clone();
        let mut values = Tensor::zeros([rows]);
        let (out, other) = ((gradient.as_mut_slice(), cols), (values.as_mut_slice(), 1));
        for_row_blocks2(out, other, |first, block, values| {
            for (r, (row, value)) in block.chunks_exact_mut(cols).zip(values).enumerate() {
                *value = (self.f)(first + r, row);
            }
        });
        self.gradient = gradient;
        Tensor::scalar(self.scale * values.as_slice().iter().sum::<Real>())
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let factor = self.scale * at.cotangent.item();
        gradients.add(0, self.gradient.map(|g| g * factor));
    }
}
