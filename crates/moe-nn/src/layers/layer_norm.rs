use moe_core::tape::Var;
use moe_core::{Parameter, Pass, Real, StateMut, StateRef, Tensor, Visit, VisitMut};

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
    /// What is added to the variance unless another value is chosen.
    pub const EPSILON: Real = 1e-5;

    /// Weights one and biases zero, for rows of `width` elements.
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
    fn forward<'t>(&self, _pass: &Pass<'_>, x: Var<'t>) -> Var<'t> {
        let tape = x.tape();
        x.layer_norm(tape.parameter(&self.weight), tape.parameter(&self.bias), self.epsilon)
    }
}

impl Module for LayerNorm {
    fn visit(&self, f: &mut Visit<'_>) {
        f("weight", StateRef::Parameter(&self.weight));
        f("bias", StateRef::Parameter(&self.bias));
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        f("weight", StateMut::Parameter(&mut self.weight));
        f("bias", StateMut::Parameter(&mut self.bias));
    }
}
