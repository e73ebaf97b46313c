use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::random::{chacha, glorot_uniform, uniform};
use moe_core::tape::Var;
use moe_core::{Parameter, Real, Tensor, named_state};

use crate::gate::row_sparse_linear::row_sparse_linear;
use crate::registry::info::GateSpec;

/// The affine map from a row to its gate logits that most routers begin with. Its state is `weight` and, if it has one, `bias`.
#[derive(Debug)]
pub struct GateLinear {
    /// `[D, N]`
    weight: Parameter,
    /// `[N]`, if the gate has a bias.
    bias: Option<Parameter>,
    temperature: Real,
}

impl GateLinear {
    /// Glorot-uniform weights and zero biases.
    pub fn new(spec: &GateSpec) -> Self {
        let (inputs, experts) = (spec.inputs, spec.experts);
        Self::with_weight(glorot_uniform([inputs, experts], inputs, experts, &mut rng(spec)))
    }

    /// Weights from U(±1/√D), as PyTorch initialises linear layers, and zero biases.
    pub(crate) fn torch(spec: &GateSpec) -> Self {
        let bound = 1.0 / (spec.inputs as f64).sqrt();
        Self::with_weight(uniform([spec.inputs, spec.experts], bound, &mut rng(spec)))
    }

    fn with_weight(weight: Tensor) -> Self {
        let bias = Some(Parameter::new(Tensor::zeros([weight.cols()])));
        GateLinear { weight: Parameter::new(weight), bias, temperature: 1.0 }
    }

    /// The same gate with its logits divided by `temperature`.
    pub(crate) fn with_temperature(self, temperature: Real) -> Self {
        GateLinear { temperature, ..self }
    }

    /// Weights and biases from U(-`bound`, `bound`), with `outputs` columns instead of N.
    ///
    /// # Panics
    /// If `bound` is not positive and finite.
    pub(crate) fn uniform(inputs: usize, outputs: usize, bound: f64, rng: &mut ChaCha8Rng) -> Self {
        GateLinear {
            weight: Parameter::new(uniform([inputs, outputs], bound, rng)),
            bias: Some(Parameter::new(uniform([outputs], bound, rng))),
            temperature: 1.0,
        }
    }

    /// The same gate without a bias.
    pub(crate) fn without_bias(self) -> Self {
        GateLinear { bias: None, ..self }
    }

    /// Number of experts (N).
    pub fn num_experts(&self) -> usize {
        self.weight.value().cols()
    }

    /// The gate logits: (x W + b) / temperature.
    ///
    /// # Shapes
    /// `[B, D]` → `[B, N]`
    pub fn logits<'t>(&self, x: Var<'t>) -> Var<'t> {
        let tape = x.tape();
        let weight = tape.parameter(&self.weight);
        let logits = match &self.bias {
            Some(bias) => x.linear(weight, tape.parameter(bias)),
            None => x.matmul(weight),
        };
        if self.temperature == 1.0 { logits } else { logits.scale(1.0 / self.temperature) }
    }

    /// [`GateLinear::logits`] for a gate most of whose rows have no gradient: the backward pass skips them.
    pub(crate) fn row_sparse_logits<'t>(&self, x: Var<'t>) -> Var<'t> {
        let tape = x.tape();
        let bias = self.bias.as_ref().map(|bias| tape.parameter(bias));
        row_sparse_linear(x, tape.parameter(&self.weight), bias)
    }

    named_state!(pub "weight" => parameter weight, "bias" => optional bias);
}

/// The random stream of the initial weights of a gate.
fn rng(spec: &GateSpec) -> ChaCha8Rng {
    chacha(spec.seed, "init.gate", spec.gate as u64)
}
