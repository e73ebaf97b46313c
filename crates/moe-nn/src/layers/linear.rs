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
    /// `[D, O]`
    weight: Parameter,
    /// `[O]`
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
