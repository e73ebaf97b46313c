use std::sync::Arc;

use moe_core::dispatch::ExpertPlan;
use moe_core::kernel::vector_math::{Gelu, Sigmoid, Softplus, Tanh, map};
use moe_core::ops::Weight;
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::tape::Var;
use moe_core::{Pass, Real, Tensor, Visit, VisitMut, named, named_mut, ops};

use crate::layers::dropout::Dropout;
use crate::layers::layer::Layer;
use crate::layers::linear::Linear;
use crate::module::Module;
use crate::predict::scratch::chain;

/// A function of each element between linear maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// x.
    Identity,
    /// x Φ(x), Φ the distribution function of the standard normal distribution.
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
    /// # Shapes
    /// any → the same.
    pub fn apply(self, x: Var<'_>) -> Var<'_> {
        match self {
            Activation::Identity => x,
            Activation::Gelu => x.gelu(),
            Activation::Relu => x.relu(),
            Activation::Sigmoid => x.sigmoid(),
            Activation::Softplus => x.softplus(),
            Activation::Tanh => x.tanh(),
        }
    }

    /// Replaces every value by the function's: the numbers of [`Activation::apply`] without a tape.
    pub fn map(self, values: &mut [Real]) {
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

/// The inside of a multi-layer perceptron: of an [`Mlp`], or of each expert of an [`ExpertBank`](crate::ExpertBank).
///
/// The default is a single linear map.
#[derive(Clone, Debug, PartialEq)]
pub struct MlpOptions {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// After the linear map of each hidden layer.
    pub activation: Activation,
    /// Probability with which the outputs of each hidden layer are dropped in training.
    pub dropout: Real,
    /// After the last linear map.
    pub output_activation: Activation,
    /// Probability with which the outputs of the last layer are dropped in training.
    pub output_dropout: Real,
    /// Under this name dropout draws: `dropout.NAME.i` after hidden layer i, `dropout.NAME` after the last one. Two
    /// networks of a model that drop need two names.
    pub name: String,
}

impl Default for MlpOptions {
    fn default() -> Self {
        MlpOptions {
            hidden: Vec::new(),
            activation: Activation::Relu,
            dropout: 0.0,
            output_activation: Activation::Identity,
            output_dropout: 0.0,
            name: "mlp".into(),
        }
    }
}

impl MlpOptions {
    /// Number of inputs and outputs of every layer.
    pub(crate) fn widths(&self, inputs: usize, outputs: usize) -> Vec<[usize; 2]> {
        let widths = [&[inputs], &self.hidden[..], &[outputs]].concat();
        widths.windows(2).map(|pair| [pair[0], pair[1]]).collect()
    }

    /// What follows the linear map of every layer.
    ///
    /// # Panics
    /// If a dropout rate is not in [0, 1).
    pub(crate) fn stages(&self) -> Vec<Stage> {
        let hidden = (0..self.hidden.len()).map(|i| Stage {
            activation: self.activation,
            dropout: Dropout::new(self.dropout, format!("dropout.{}.{i}", self.name)),
        });
        let last = Stage {
            activation: self.output_activation,
            dropout: Dropout::new(self.output_dropout, format!("dropout.{}", self.name)),
        };
        hidden.chain([last]).collect()
    }
}

/// What follows a linear map.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    activation: Activation,
    dropout: Dropout,
}

impl Stage {
    /// x W + b and what follows.
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

    /// x W + b with the weights of each slot's expert, and what follows.
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

    /// [`Stage::linear`] at inference, without a tape.
    fn affine(&self, x: &Tensor, (weight, bias): (Weight<'_>, &Tensor), out: &mut Tensor) {
        out.resize([x.rows(), weight.cols()]);
        let after = |_, _, values: &mut [Real]| self.activation.map(values);
        ops::affine_then(x, weight, Some(bias), Some(&after), out.as_mut_slice());
    }

    /// [`Stage::grouped_linear`] at inference, without a tape.
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

/// A multi-layer perceptron: linear maps, each followed by an activation and dropout.
#[derive(Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    stages: Vec<Stage>,
}

impl Mlp {
    /// Glorot-uniform weights and zero biases.
    ///
    /// ```
    /// use moe_core::random::chacha;
    /// use moe_nn::{Activation, Mlp, MlpOptions, Module};
    ///
    /// let options = MlpOptions { hidden: vec![32, 16], activation: Activation::Tanh, ..MlpOptions::default() };
    /// let mlp = Mlp::new(64, 10, &options, &mut chacha(1, "init.mlp", 0));
    /// assert_eq!(mlp.parameter_count(), 64 * 32 + 32 + 32 * 16 + 16 + 16 * 10 + 10);
    /// ```
    ///
    /// # Panics
    /// If a dropout rate is not in [0, 1).
    pub fn new(inputs: usize, outputs: usize, options: &MlpOptions, rng: &mut ChaCha8Rng) -> Self {
        let widths = options.widths(inputs, outputs).into_iter();
        let layers = widths.map(|[inputs, outputs]| Linear::new(inputs, outputs, rng)).collect();
        Mlp { layers, stages: options.stages() }
    }

    /// Multiply-adds for a row.
    pub(crate) fn multiply_adds(&self) -> usize {
        self.layers.iter().map(|layer| layer.multiply_adds()).sum()
    }

    /// The numbers of [`Layer::forward`] in use, without a tape, into memory that is used again.
    ///
    /// # Shapes
    /// `x` `[B, D]` → `out` `[B, O]`
    ///
    /// # Panics
    /// As `forward`.
    pub fn infer(&self, x: &Tensor, out: &mut Tensor, hidden: &mut [Tensor; 2]) {
        chain(self.layers.len(), x, hidden.each_mut(), out, |i, x, out| {
            self.stages[i].affine(x, self.layers[i].at_inference(x.rows()), out);
        });
    }
}

impl Layer for Mlp {
    fn forward<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Var<'t> {
        let layers = self.layers.iter().zip(&self.stages);
        layers.fold(x, |x, (layer, stage)| stage.linear(pass, x, layer.leaves(x.tape())))
    }
}

impl Module for Mlp {
    fn visit(&self, f: &mut Visit<'_>) {
        for (i, layer) in self.layers.iter().enumerate() {
            named(&i.to_string(), f, |f| layer.visit(f));
        }
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        for (i, layer) in self.layers.iter_mut().enumerate() {
            named_mut(&i.to_string(), f, |f| layer.visit_mut(f));
        }
    }
    fn pack_weights(&mut self) {
        self.layers.iter_mut().for_each(Linear::pack_weights);
    }
}
