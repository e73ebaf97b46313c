use moe_core::ops::Weight;
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::random::glorot_uniform;
use moe_core::tape::{Tape, Var};
use moe_core::{Parameter, Pass, Tensor, named_state};

use crate::layers::layer::Layer;
use crate::module::Module;

/// A linear layer: x W + b.
#[derive(Debug)]
pub struct Linear {
    /// `[D, O]`, or `[N, D, O]` for N experts.
    weight: Parameter,
    /// `[O]`, or `[N, O]`.
    bias: Parameter,
}

impl Linear {
    /// A layer with Glorot-uniform weights and zero biases.
    pub fn new(inputs: usize, outputs: usize, rng: &mut ChaCha8Rng) -> Self {
        Linear {
            weight: Parameter::new(glorot_uniform([inputs, outputs], inputs, outputs, rng)),
            bias: Parameter::new(Tensor::zeros([outputs])),
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

    /// Weight and bias, to be used for so many rows.
    pub(crate) fn in_use(&self, rows: usize) -> (Weight<'_>, &Tensor) {
        (self.weight.weight(rows), self.bias.value())
    }

    /// Number of multiply-adds per row.
    pub(crate) fn multiply_adds(&self) -> usize {
        self.weight.value().len()
    }
}

impl Layer for Linear {
    fn forward<'t>(&self, _pass: &Pass<'_>, x: Var<'t>) -> Var<'t> {
        let [weight, bias] = self.leaves(x.tape());
        x.linear(weight, bias)
    }
}

impl Module for Linear {
    named_state!("weight" => parameter weight, "bias" => parameter bias);
}
