use crate::kernel::for_row_blocks;
use crate::tape::{Backward, InputGradients, Operator, Var};
use crate::{Real, Tensor};

struct Softmax;

/// Replaces a row of logits by its softmax. An empty row stays empty.
pub(super) fn softmax_in_place(row: &mut [Real]) {
    let max = row.iter().copied().fold(Real::NEG_INFINITY, Real::max);
    let mut sum = 0.0;
    for v in row.iter_mut() {
        *v = (*v - max).exp();
        sum += *v;
    }
    row.iter_mut().for_each(|v| *v /= sum);
}

/// Replaces the cotangent of a softmax row by the gradient of its logits.
pub(super) fn softmax_gradient_in_place(weights: &[Real], cotangent: &mut [Real]) {
    let dot: Real = weights.iter().zip(cotangent.iter()).map(|(w, d)| w * d).sum();
    for (d, w) in cotangent.iter_mut().zip(weights) {
        *d = w * (*d - dot);
    }
}

impl Operator for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let cols = inputs[0].cols();
        let mut y = inputs[0].clone();
        for_row_blocks(y.as_mut_slice(), cols, |_, block| {
            block.chunks_exact_mut(cols).for_each(softmax_in_place);
        });
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let cols = at.output.cols();
        let mut dx = at.cotangent.clone();
        for_row_blocks(dx.as_mut_slice(), cols, |first, block| {
            for (r, row) in block.chunks_exact_mut(cols).enumerate() {
                softmax_gradient_in_place(at.output.row(first + r), row);
            }
        });
        gradients.add(0, dx);
    }
}

impl<'t> Var<'t> {
    /// Softmax over the last axis.
    ///
    /// # Shapes
    /// `[…, C]` → the same.
    pub fn softmax(self) -> Var<'t> {
        self.tape().apply(Softmax, &[self])
    }
}
