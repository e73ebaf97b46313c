use std::sync::Arc;

use moe_core::dispatch::ExpertPlan;
use moe_core::kernel::vector_math::{Gelu, Sigmoid, Softplus, Tanh, map};
use moe_core::ops::Weight;
use moe_core::tape::Var;
use moe_core::{Pass, Real, Tensor, ops};

use crate::layers::dropout::Dropout;
use crate::layers::layer::Layer;

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

    /// Applies the function in place, without a tape; the values have the bits of [`Activation::apply`].
    pub(crate) fn map(self, values: &mut [Real]) {
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

/// An activation and dropout, which follow a linear map.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) activation: Activation,
    pub(crate) dropout: Dropout,
}

impl Stage {
    /// x W + b, then activation and dropout.
    pub(crate) fn linear<'t>(
        &self,
        pass: &Pass<'_>,
        x: Var<'t>,
        [weight, bias]: [Var<'t>; 2],
    ) -> Var<'t> {
        match self.activation {
            Activation::Relu => x.linear_relu(weight, bias, self.dropout.draws(pass)),
            other => self.dropout.forward(pass, other.apply(x.linear(weight, bias))),
        }
    }

    /// x W + b with the weights of each slot's expert, then activation and dropout.
    pub(crate) fn grouped_linear<'t>(
        &self,
        pass: &Pass<'_>,
        x: Var<'t>,
        [weight, bias]: [Var<'t>; 2],
        plan: &Arc<ExpertPlan>,
    ) -> Var<'t> {
        match self.activation {
            Activation::Relu => x.grouped_linear_relu(weight, bias, plan, self.dropout.draws(pass)),
            other => self.dropout.forward(pass, other.apply(x.grouped_linear(weight, bias, plan))),
        }
    }

    /// The values of [`Stage::linear`] at inference, without a tape.
    pub(crate) fn affine(
        &self,
        x: &Tensor,
        (weight, bias): (Weight<'_>, &Tensor),
        out: &mut Tensor,
    ) {
        out.resize([x.rows(), weight.cols()]);
        let after = |_, _, values: &mut [Real]| self.activation.map(values);
        ops::affine_then(x, weight, Some(bias), Some(&after), out.as_mut_slice());
    }

    /// The values of [`Stage::grouped_linear`] at inference, without a tape.
    pub(crate) fn grouped_affine(
        &self,
        x: &Tensor,
        (weight, bias): (Weight<'_>, &Tensor),
        plan: &ExpertPlan,
        out: &mut Tensor,
    ) {
        out.resize([plan.slots(), weight.cols()]);
        let after = |_, _, values: &mut [Real]| self.activation.map(values);
        ops::grouped_affine(x, weight, bias, plan, Some(&after), out.as_mut_slice());
    }
}

/// Runs `steps` steps (at least one) on `x`: each step maps its input to its output, and the last one writes to `out`.
pub(crate) fn chain(
    steps: usize,
    x: &Tensor,
    [mut from, mut to]: [&mut Tensor; 2],
    out: &mut Tensor,
    step: impl Fn(usize, &Tensor, &mut Tensor),
) {
    for i in 0..steps {
        let input = if i == 0 { x } else { &*from };
        if i + 1 == steps {
            step(i, input, out);
        } else {
            step(i, input, to);
            std::mem::swap(&mut from, &mut to);
        }
    }
}
