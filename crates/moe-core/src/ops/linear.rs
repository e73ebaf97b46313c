use crate::kernel::{Around, RowFn, Start, gemm_groups, sum_axis};
use crate::random::DropoutDraws;
use crate::tape::{Backward, InputGradients, Operator, Var};
use crate::{Real, Tensor};

use super::matmul::{mat, product};
use super::rectifier::Rectifier;

struct Linear {
    rectifier: Option<Rectifier>,
}

/// y = x W + b, or x W without a bias: what [`Var::linear`] and [`Var::matmul`] compute, without a tape.
///
/// # Shapes
/// `x` `[B, D]`, `weight` `[D, O]`, `bias` `[O]`, `y` B * O elements.
///
/// # Panics
/// If the shapes do not fit.
pub fn affine(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, y: &mut [Real]) {
    affine_then(x, weight, bias, None, y);
}

/// [`affine`], and then `after` on every number, given the row and the first column of some of them.
///
/// # Shapes
/// As `affine`.
///
/// # Panics
/// As `affine`.
pub fn affine_then(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    after: Option<RowFn<'_>>,
    y: &mut [Real],
) {
    if let Some(bias) = bias {
        assert!(
            x.cols() == weight.rows() && weight.cols() == bias.len(),
            "linear: input {:?}, weight {:?} and bias {:?} do not fit",
            x.shape(),
            weight.shape(),
            bias.shape()
        );
    }
    let start = |_| bias.map_or(Start::Zero, |bias| Start::Row(bias.as_slice()));
    let around = Around { start: Some(&start), after, ..Around::default() };
    gemm_groups(1, |_| x.rows(), |_| (mat(x), mat(weight)), around, y);
}

impl Operator for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let (x, w, b) = (inputs[0], inputs[1], inputs[2]);
        let mut y = Tensor::unspecified([x.rows(), w.cols()]);
        let after = self.rectifier.as_ref().map(|rectifier| {
            move |row, col, values: &mut [Real]| rectifier.forward(row, col, values)
        });
        affine_then(x, w, Some(b), after.as_ref().map(|after| after as _), y.as_mut_slice());
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (x, w, b) = (at.inputs[0], at.inputs[1], at.inputs[2]);
        let mut dy = at.cotangent;
        if let Some(rectifier) = &self.rectifier {
            rectifier.backward(at.output, &mut dy);
        }
        if gradients.wants(0) {
            let dx = product(mat(&dy), mat(w).t(), x.rows(), x.cols());
            gradients.add(0, dx.reshape(*x.shape()));
        }
        if gradients.wants(1) {
            gradients.add(1, product(mat(x).t(), mat(&dy), w.rows(), w.cols()));
        }
        if gradients.wants(2) {
            let mut db = Tensor::unspecified(*b.shape());
            sum_axis(dy.as_slice(), x.rows(), b.len(), db.as_mut_slice());
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
        self.tape().apply(Linear { rectifier: None }, &[self, weight, bias])
    }

    /// [`Var::linear`], [`Var::relu`] and [`Var::dropout`] in one pass, with the same numbers.
    ///
    /// # Shapes
    /// As `linear`; B rows named for the dropout.
    ///
    /// # Panics
    /// As `linear` and `dropout`.
    pub fn linear_relu(
        self,
        weight: Var<'t>,
        bias: Var<'t>,
        dropout: Option<DropoutDraws<'_>>,
    ) -> Var<'t> {
        let rectifier = Some(Rectifier::new(self.shape().as_matrix().0, dropout));
        self.tape().apply(Linear { rectifier }, &[self, weight, bias])
    }
}
