use std::sync::Arc;

use moe_core::dispatch::ExpertPlan;
use moe_core::kernel::vector_math::{Gelu, Sigmoid, Softplus, Tanh, map};
use moe_core::tape::{Tape, Var};
use moe_core::{Pass, Real, Tensor, ops};

use crate::layers::dropout::Dropout;
use crate::layers::linear::Linear;

/// An elementwise function between linear maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// x.
    Identity,
    /// x Φ(x), with the distribution function Φ of the standard normal distribution.
    Gelu,
    /// max(x, 0).
    #[default]
    Relu,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// ln(1 + e^x).
    Softplus,
    /// The hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// Applies the function to every element.
    ///
    /// # Shapes
    /// any → the same
    pub(crate) fn apply(self, x: Var<'_>) -> Var<'_> {
        match self {
            Activation::Identity => x,
            Activation::Gelu => x.gelu(),
            Activation::Relu => x.relu(),
            Activation::Sigmoid => x.sigmoid(),
            Activation::Softplus => x.softplus(),
            Activation::Tanh => x.tanh(),
        }
    }

    /// Applies the function in place; the values have the bits of [`Activation::apply`].
    fn map(self, values: &mut [Real]) {
        match self {
            Activation::Identity => {}
            Activation::Gelu => map(Gelu, values),
            Activation::Relu => ops::relu(values),
            Activation::Sigmoid => map(Sigmoid, values),
            Activation::Softplus => map(Softplus, values),
            Activation::Tanh => map(Tanh, values),
        }
    }
}

/// Returns whether neither a backward pass nor a random draw follows, so that values may be computed with packed weights.
pub(crate) fn is_inference(pass: &Pass<'_>, tape: &Tape) -> bool {
    !tape.is_recording() && !pass.is_training()
}

/// An activation and dropout, which follow a linear map.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) activation: Activation,
    pub(crate) dropout: Dropout,
}

impl Stage {
    /// x W + b, then activation and dropout.
    pub(crate) fn linear<'t>(&self, pass: &Pass<'_>, x: Var<'t>, layer: &Linear) -> Var<'t> {
        let tape = x.tape();
        if is_inference(pass, tape) {
            return tape.constant(self.affine(&x.value(), layer));
        }
        let [weight, bias] = layer.leaves(tape);
        match self.activation {
            Activation::Relu => x.linear_relu(weight, bias, self.dropout.draws(pass)),
            other => self.dropout.apply(pass, other.apply(x.linear(weight, bias))),
        }
    }

    /// x W + b with the weights of each slot's expert, then activation and dropout.
    pub(crate) fn grouped_linear<'t>(
        &self,
        pass: &Pass<'_>,
        x: Var<'t>,
        layer: &Linear,
        plan: &Arc<ExpertPlan>,
    ) -> Var<'t> {
        let [weight, bias] = layer.leaves(x.tape());
        match self.activation {
            Activation::Relu => x.grouped_linear_relu(weight, bias, plan, self.dropout.draws(pass)),
            other => self.dropout.apply(pass, other.apply(x.grouped_linear(weight, bias, plan))),
        }
    }

    /// The values of [`Stage::linear`] at inference, with packed weights if there are any.
    fn affine(&self, x: &Tensor, layer: &Linear) -> Tensor {
        let (weight, bias) = layer.at_inference(x.rows());
        let mut out = Tensor::unspecified([x.rows(), weight.cols()]);
        let after = |_, _, values: &mut [Real]| self.activation.map(values);
        ops::affine_then(x, weight, Some(bias), Some(&after), out.as_mut_slice());
        out
    }

    /// The values of [`Stage::grouped_linear`] at inference, with packed weights if there are any.
    pub(crate) fn grouped_affine(&self, x: &Tensor, layer: &Linear, plan: &ExpertPlan) -> Tensor {
        let (weight, bias) = layer.at_inference(plan.rows());
        let mut out = Tensor::unspecified([plan.slots(), weight.cols()]);
        let after = |_, _, values: &mut [Real]| self.activation.map(values);
        ops::grouped_affine(x, weight, bias, plan, Some(&after), out.as_mut_slice());
        out
    }
}
