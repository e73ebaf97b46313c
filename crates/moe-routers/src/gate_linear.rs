use moe_core::random::{chacha, glorot_uniform};
use moe_core::tape::Var;
use moe_core::{Parameter, StateMut, StateRef, Tensor, Visit, VisitMut};

use crate::GateSpec;

/// The affine map from a row to its gate logits that most routers begin with.
#[derive(Debug)]
pub struct GateLinear {
    /// `[D, N]`
    weight: Parameter,
    /// `[N]`
    bias: Parameter,
}

impl GateLinear {
    /// Glorot-uniform weights and zero biases.
    pub fn new(spec: &GateSpec) -> Self {
        let (inputs, experts) = (spec.inputs, spec.experts);
        let mut rng = chacha(spec.seed, "init.gate", spec.gate as u64);
        GateLinear {
            weight: Parameter::new(glorot_uniform([inputs, experts], inputs, experts, &mut rng)),
            bias: Parameter::new(Tensor::zeros([experts])),
        }
    }

    /// N.
    pub fn num_experts(&self) -> usize {
        self.bias.value().len()
    }

    /// x W + b.
    ///
    /// # Shapes
    /// `[B, D]` → `[B, N]`
    pub fn logits<'t>(&self, x: Var<'t>) -> Var<'t> {
        let tape = x.tape();
        x.linear(tape.parameter(&self.weight), tape.parameter(&self.bias))
    }

    /// Reports `weight` and `bias`.
    pub fn visit(&self, f: &mut Visit<'_>) {
        f("weight", StateRef::Parameter(&self.weight));
        f("bias", StateRef::Parameter(&self.bias));
    }

    /// [`GateLinear::visit`], writable.
    pub fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        f("weight", StateMut::Parameter(&mut self.weight));
        f("bias", StateMut::Parameter(&mut self.bias));
    }
}
