use moe_core::tape::Var;
use moe_core::{Parameter, Real, Tensor, named_state};

use crate::layers::forward::Forward;
use crate::layers::layer::Layer;
use crate::module::Module;

/// Layer normalisation over the last axis ([`Var::layer_norm`]).
#[derive(Debug)]
pub struct LayerNorm {
    /// `[D]`
    weight: Parameter,
    /// `[D]`
    bias: Parameter,
    epsilon: Real,
}

impl LayerNorm {
    /// Default value that is added to the variance.
    pub const EPSILON: Real = 1e-5;

    /// A normalisation of rows of `width` elements, with weights of one and biases of zero.
    pub fn new(width: usize) -> Self {
        Self::with_epsilon(width, Self::EPSILON)
    }

    /// [`LayerNorm::new`] with another value added to the variance.
    ///
    /// # Panics
    /// If `epsilon` is not above 0.
    pub fn with_epsilon(width: usize, epsilon: Real) -> Self {
        assert!(epsilon > 0.0, "layer norm: epsilon {epsilon} is not above 0");
        LayerNorm {
            weight: Parameter::new(Tensor::full([width], 1.0)),
            bias: Parameter::new(Tensor::zeros([width])),
            epsilon,
        }
    }
}

impl Layer for LayerNorm {
    fn forward<'t>(&self, _pass: &Forward<'_, 't>, x: Var<'t>) -> Var<'t> {
        let tape = x.tape();
        x.layer_norm(tape.parameter(&self.weight), tape.parameter(&self.bias), self.epsilon)
    }
}

impl Module for LayerNorm {
    named_state!("weight" => parameter weight, "bias" => parameter bias);
}
