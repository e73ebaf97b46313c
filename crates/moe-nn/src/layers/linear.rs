use moe_core::kernel::Packed;
use moe_core::ops::Weight;
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::random::glorot_uniform;
use moe_core::tape::{Tape, Var};
use moe_core::{Parameter, StateMut, StateRef, Tensor, Visit, VisitMut};

use crate::layers::forward::Forward;
use crate::layers::layer::Layer;
use crate::module::Module;

/// A linear layer: x W + b.
#[derive(Debug)]
pub struct Linear {
    /// `[D, O]`, or `[N, D, O]` for N experts.
    weight: Parameter,
    /// `[O]`, or `[N, O]`.
    bias: Parameter,
    /// A copy of the weight for inference.
    packed: Option<Packed>,
}

impl Linear {
    /// A layer with Glorot-uniform weights and zero biases.
    pub fn new(inputs: usize, outputs: usize, rng: &mut ChaCha8Rng) -> Self {
        Linear {
            weight: Parameter::new(glorot_uniform([inputs, outputs], inputs, outputs, rng)),
            bias: Parameter::new(Tensor::zeros([outputs])),
            packed: None,
        }
    }

    /// The layers of N experts, x W_e + b_e, with weights `[N, D, O]` and biases `[N, O]`, initialised as [`Linear::new`].
    pub(crate) fn stacked(
        experts: usize,
        inputs: usize,
        outputs: usize,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let weight = glorot_uniform([experts, inputs, outputs], inputs, outputs, rng);
        Linear {
            weight: Parameter::new(weight),
            bias: Parameter::new(Tensor::zeros([experts, outputs])),
            packed: None,
        }
    }

    /// The weights.
    pub(crate) fn weight(&self) -> &Tensor {
        self.weight.value()
    }

    /// The weight and the bias as variables of a tape.
    pub(crate) fn leaves<'t>(&self, tape: &'t Tape) -> [Var<'t>; 2] {
        [tape.parameter(&self.weight), tape.parameter(&self.bias)]
    }

    /// Weight and bias, for the inference of this number of rows.
    pub(crate) fn at_inference(&self, rows: usize) -> (Weight<'_>, &Tensor) {
        // A single row reads the weight in place.
        let packed = self.packed.as_ref().filter(|_| rows > 1);
        (Weight::new(self.weight.value(), packed), self.bias.value())
    }

    /// Number of multiply-adds per row.
    pub(crate) fn multiply_adds(&self) -> usize {
        self.weight.value().len()
    }
}

impl Layer for Linear {
    fn forward<'t>(&self, _pass: &Forward<'_, 't>, x: Var<'t>) -> Var<'t> {
        let [weight, bias] = self.leaves(x.tape());
        x.linear(weight, bias)
    }
}

impl Module for Linear {
    fn visit(&self, f: &mut Visit<'_>) {
        f("weight", StateRef::Parameter(&self.weight));
        f("bias", StateRef::Parameter(&self.bias));
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        // The visitor may change the weight.
        self.packed = None;
        f("weight", StateMut::Parameter(&mut self.weight));
        f("bias", StateMut::Parameter(&mut self.bias));
    }

    fn pack_weights(&mut self) {
        self.packed = Weight::pack(self.weight.value());
    }
}
