use crate::kernel::gemm::{Around, gemm_groups};
use crate::kernel::parallel::both;
use crate::kernel::product::RowFn;
use crate::kernel::reduce::sum_axis;
use crate::random::dropout_mask::DropoutDraws;
use crate::real::Real;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

use super::matmul::product;
use super::rectifier::Rectifier;
use super::weight::Weight;

struct Linear {
    rectifier: Option<Rectifier>,
}

/// y = x W + b, or x W without a bias, without a tape: the function behind [`Var::linear`].
///
/// # Shapes
/// `x` `[B, D]`, `weight` `[D, O]`, `bias` `[O]`, `y` B * O elements.
///
/// # Panics
/// If the shapes do not fit.
pub fn affine(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, y: &mut [Real]) {
    affine_then(x, weight.into(), bias, None, y);
}

/// [`affine`], and then `after` on every value, called with a row, the first of some of its columns, and the values there.
///
/// # Shapes
/// As `affine`.
///
/// # Panics
/// As `affine`.
pub fn affine_then(
    x: &Tensor,
    weight: Weight<'_>,
    bias: Option<&Tensor>,
    after: Option<RowFn<'_>>,
    y: &mut [Real],
) {
    if let Some(bias) = bias {
        assert!(
            x.cols() == weight.shape().as_matrix().0 && weight.cols() == bias.len(),
            "linear: input {:?}, weight {:?} and bias {:?} do not fit",
            x.shape(),
            weight.shape(),
            bias.shape()
        );
    }
    assert_eq!(x.cols(), weight.shape().as_matrix().0, "linear: inner dimensions differ");
    let bias = bias.map(|bias| |_| bias.as_slice());
    let around = Around { bias: bias.as_ref().map(|bias| bias as _), after };
    gemm_groups(1, |_| (x.as_mat(), weight.matrix(0)), around, y);
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
        affine_then(x, w.into(), Some(b), after.as_ref().map(|after| after as _), y.as_mut_slice());
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (x, w, b) = (at.inputs[0], at.inputs[1], at.inputs[2]);
        let mut dy = at.cotangent;
        if let Some(rectifier) = &self.rectifier {
            rectifier.backward(at.output, &mut dy);
        }
        let dy = &dy;
        let of_x = || product(dy.as_mat(), w.as_mat().t()).reshape(*x.shape());
        let of_weight = || product(x.as_mat().t(), dy.as_mat());
        let of_bias = || {
            let mut db = Tensor::unspecified(*b.shape());
            sum_axis(dy.as_slice(), x.rows(), b.len(), db.as_mut_slice());
            db
        };
        add_gradients(gradients, x.rows() * w.len(), of_x, of_weight, of_bias);
    }
}

/// Adds the gradients of a layer's input, weight and bias, as far as they are needed. The first two take `work` multiply-adds
/// each. All are computed in one parallel region, so that a thread that has finished its share of one goes on with another.
pub(super) fn add_gradients(
    gradients: &mut InputGradients<'_>,
    work: usize,
    of_x: impl FnOnce() -> Tensor + Send,
    of_weight: impl FnOnce() -> Tensor + Send,
    of_bias: impl FnOnce() -> Tensor + Send,
) {
    let [wants_x, wants_weight, wants_bias] = [0, 1, 2].map(|input| gradients.wants(input));
    let (dx, (dw, db)) = both(
        work,
        || wants_x.then(of_x),
        || (wants_weight.then(of_weight), wants_bias.then(of_bias)),
    );
    for (input, gradient) in [dx, dw, db].into_iter().enumerate() {
        if let Some(gradient) = gradient {
            gradients.add(input, gradient);
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

    /// [`Var::linear`], [`Var::relu`] and [`Var::dropout`] in one pass, with the same bits.
    ///
    /// # Shapes
    /// As `linear`, with the names of B rows for the dropout.
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
