use crate::kernel::geometry::ROW_BLOCK;
use crate::kernel::parallel::for_row_blocks;
use crate::kernel::reduce::{dot, max, sum};
use crate::kernel::vector_math::{Exp, map};
use crate::real::Real;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

struct Softmax;

/// Subtracts the largest element from a row, and returns it.
pub(super) fn subtract_max(row: &mut [Real]) -> Real {
    let largest = max(row);
    row.iter_mut().for_each(|v| *v -= largest);
    largest
}

/// Divides a row by its sum, and returns the sum.
pub(super) fn divide_by_sum(row: &mut [Real]) -> Real {
    let total = sum(row);
    row.iter_mut().for_each(|v| *v /= total);
    total
}

/// Replaces at most [`ROW_BLOCK`] rows of logits z by their softmax, and calls `f(row, largest z, Σ e^(z - largest z))` for
/// each.
pub(super) fn softmax_rows(block: &mut [Real], cols: usize, mut f: impl FnMut(usize, Real, Real)) {
    let mut largest = [0.0; ROW_BLOCK];
    for (row, largest) in block.chunks_exact_mut(cols).zip(&mut largest) {
        *largest = subtract_max(row);
    }
    map(Exp, block);
    for (r, row) in block.chunks_exact_mut(cols).enumerate() {
        f(r, largest[r], divide_by_sum(row));
    }
}

/// Replaces rows of logits by their softmax: [`Var::softmax`] without a tape.
///
/// # Shapes
/// `rows` `[B, cols]`
///
/// # Panics
/// If `rows` is not a whole number of rows.
pub fn softmax(rows: &mut [Real], cols: usize) {
    for_row_blocks(rows, cols, |_, block| softmax_rows(block, cols, |_, _, _| ()));
}

/// Replaces the cotangent of a softmax row by the gradient of its logits.
pub(super) fn softmax_gradient_in_place(weights: &[Real], cotangent: &mut [Real]) {
    let along = dot(weights, cotangent);
    for (d, w) in cotangent.iter_mut().zip(weights) {
        *d = w * (*d - along);
    }
}

impl Operator for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let cols = inputs[0].cols();
        let mut y = inputs[0].clone();
        softmax(y.as_mut_slice(), cols);
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let cols = at.output.cols();
        let mut dx = at.cotangent;
        for_row_blocks(dx.as_mut_slice(), cols, |first, block| {
            for (r, row) in block.chunks_exact_mut(cols).enumerate() {
                softmax_gradient_in_place(at.output.row(first + r), row);
            }
        });
        gradients.add(0, dx);
    }
}

impl<'t> Var<'t> {
    /// Softmax over the last axis. The result is NaN for a row of -∞ only or with +∞, which has no softmax.
    ///
    /// # Shapes
    /// `[…, C]` → the same.
    pub fn softmax(self) -> Var<'t> {
        self.tape().apply(Softmax, &[self])
    }
}
