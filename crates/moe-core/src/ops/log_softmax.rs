use crate::kernel::parallel::{for_row_blocks, for_row_blocks2};
use crate::kernel::reduce::sum;
use crate::kernel::vector_math::{Function, Ln};
use crate::real::Real;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

use super::axis::without_axis;
use super::softmax::softmax_rows;

struct LogSoftmax {
    softmax: Option<Tensor>,
}

impl Operator for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let cols = inputs[0].cols();
        let (mut softmax, mut y) = (inputs[0].clone(), inputs[0].clone());
        let of_rows = (softmax.as_mut_slice(), cols);
        for_row_blocks2(of_rows, (y.as_mut_slice(), cols), |_, softmax, y| {
            let mut rows = y.chunks_exact_mut(cols);
            softmax_rows(softmax, cols, |_, largest, total| {
                let row = rows.next().expect("as many rows");
                let total = Ln::at(total);
                row.iter_mut().for_each(|v| *v = (*v - largest) - total);
            });
        });
        self.softmax = Some(softmax);
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let softmax = self.softmax.as_ref().expect("forward has run");
        let cols = softmax.cols();
        let mut dx = at.cotangent;
        for_row_blocks(dx.as_mut_slice(), cols, |first, block| {
            for (r, row) in block.chunks_exact_mut(cols).enumerate() {
                let total = sum(row);
                for (d, w) in row.iter_mut().zip(softmax.row(first + r)) {
                    *d -= w * total;
                }
            }
        });
        gradients.add(0, dx);
    }
}

struct LogSumExp {
    softmax: Option<Tensor>,
}

impl Operator for LogSumExp {
    fn name(&self) -> &'static str {
        "logsumexp"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let x = inputs[0];
        let cols = x.cols();
        let mut y = without_axis(x.shape(), x.shape().rank() - 1);
        y.as_mut_slice().fill(Real::NEG_INFINITY);
        let mut softmax = x.clone();
        for_row_blocks2((softmax.as_mut_slice(), cols), (y.as_mut_slice(), 1), |_, softmax, y| {
            softmax_rows(softmax, cols, |r, largest, total| {
                y[r] = if largest.is_infinite() { largest } else { largest + Ln::at(total) };
            });
            for (row, y) in softmax.chunks_exact_mut(cols).zip(y) {
                if *y == Real::NEG_INFINITY {
                    row.fill(0.0);
                }
            }
        });
        self.softmax = Some(softmax);
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut dx = self.softmax.clone().expect("forward has run");
        let cols = dx.cols();
        for_row_blocks(dx.as_mut_slice(), cols, |first, block| {
            for (row, d) in block.chunks_exact_mut(cols).zip(&at.cotangent.as_slice()[first..]) {
                row.iter_mut().for_each(|w| *w *= d);
            }
        });
        gradients.add(0, dx);
    }
}

impl<'t> Var<'t> {
    /// The logarithm of the softmax over the last axis, z - ln Σ e^z, without overflow for logits of any size. An element
    /// of -∞ stays -∞. The result is NaN for a row of -∞ only or with +∞, which has no softmax.
    ///
    /// # Shapes
    /// `[…, C]` → the same.
    pub fn log_softmax(self) -> Var<'t> {
        self.tape().apply(LogSoftmax { softmax: None }, &[self])
    }

    /// ln Σ e^z over the last axis, which is left out of the result, without overflow for logits of any size. An empty
    /// row, or one of -∞ only, gives -∞ and has the gradient 0; a row with +∞ gives +∞ and has no gradient.
    ///
    /// # Shapes
    /// `[…, C]` → `[…]`
    ///
    /// # Panics
    /// If there is no axis.
    pub fn logsumexp(self) -> Var<'t> {
        assert!(self.shape().rank() > 0, "logsumexp: a scalar has no axis");
        self.tape().apply(LogSumExp { softmax: None }, &[self])
    }
}
