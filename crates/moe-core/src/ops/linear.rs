use crate::kernel::{gemm, sum_axis};
use crate::tape::{Backward, InputGradients, Operator, Var};
use crate::{Real, Tensor};

use super::matmul::{mat, product};

struct Linear;

/// Every row of a matrix in `out` (with `bias.len()` columns) set to `bias`.
pub(super) fn fill_rows(out: &mut [Real], bias: &[Real]) {
    for row in out.chunks_exact_mut(bias.len().max(1)) {
        row.copy_from_slice(bias);
    }
}

/// y = x W + b, or x W without a bias: what [`Var::linear`] and [`Var::matmul`] compute, without a tape.
///
/// # Shapes
/// `x` `[B, D]`, `weight` `[D, O]`, `bias` `[O]`, `y` B * O elements.
///
/// # Panics
/// If the shapes do not fit.
pub fn affine(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, y: &mut [Real]) {
    if let Some(bias) = bias {
        assert!(
            x.cols() == weight.rows() && weight.cols() == bias.len(),
            "linear: input {:?}, weight {:?} and bias {:?} do not fit",
            x.shape(),
            weight.shape(),
            bias.shape()
        );
        fill_rows(y, bias.as_slice());
    }
    gemm(mat(x), mat(weight), bias.is_some(), y);
}

impl Operator for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let (x, w, b) = (inputs[0], inputs[1], inputs[2]);
        let mut y = Tensor::unspecified([x.rows(), w.cols()]);
        affine(x, w, Some(b), y.as_mut_slice());
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (x, w, b) = (at.inputs[0], at.inputs[1], at.inputs[2]);
        let dy = mat(at.cotangent);
        if gradients.wants(0) {
            let dx = product(dy, mat(w).t(), x.rows(), x.cols());
            gradients.add(0, dx.reshape(*x.shape()));
        }
        if gradients.wants(1) {
            gradients.add(1, product(mat(x).t(), dy, w.rows(), w.cols()));
        }
        if gradients.wants(2) {
            let mut db = Tensor::unspecified(*b.shape());
            sum_axis(at.cotangent.as_slice(), x.rows(), b.len(), db.as_mut_slice());
            gradients.add(2, db);
        }
    }
}

impl<'t> Var<'t> {
    /// x W + b.
    ///
    /// # Shapes
    /// x `[B, D]`, `weight` `[D, O]`, `bias` `[O]` → `[B, O]`
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn linear(self, weight: Var<'t>, bias: Var<'t>) -> Var<'t> {
        self.tape().apply(Linear, &[self, weight, bias])
    }
}
