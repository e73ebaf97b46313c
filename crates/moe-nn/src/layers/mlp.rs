use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::tape::Var;
use moe_core::{Real, named_state};

use crate::layers::dropout::Dropout;
use crate::layers::forward::Forward;
use crate::layers::layer::Layer;
use crate::layers::linear::Linear;
use crate::layers::stage::{Activation, Stage};
use crate::module::Module;

/// The hidden layers, activations and dropout of a multi-layer perceptron: of an [`Mlp`], or of each expert of an
/// [`ExpertBank`](crate::ExpertBank).
///
/// The default is a single linear map.
#[derive(Clone, Debug, PartialEq)]
pub struct MlpOptions {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Activation after the linear map of each hidden layer.
    pub activation: Activation,
    /// Dropout probability for the outputs of each hidden layer.
    pub dropout: Real,
    /// Activation after the last linear map.
    pub output_activation: Activation,
    /// Dropout probability for the outputs of the last layer.
    pub output_dropout: Real,
    /// Name that keys the dropout draws: `dropout.NAME.i` after hidden layer i, `dropout.NAME` after the last one. Two
    /// networks of a model that use dropout need two names.
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

    /// Activation and dropout after the linear map of every layer.
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

/// A multi-layer perceptron: linear maps, each followed by an activation and dropout. The layers are named by their
/// index.
#[derive(Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    stages: Vec<Stage>,
}

impl Mlp {
    /// A perceptron with Glorot-uniform weights and zero biases.
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

    /// Number of multiply-adds per row.
    pub(crate) fn multiply_adds(&self) -> usize {
        self.layers.iter().map(Linear::multiply_adds).sum()
    }
}

impl Layer for Mlp {
    fn forward<'t>(&self, pass: &Forward<'_, 't>, x: Var<'t>) -> Var<'t> {
        let (tape, mark) = (x.tape(), x.tape().mark());
        self.layers.iter().zip(&self.stages).fold(x, |x, (layer, stage)| {
            let y = stage.linear(pass, x, layer);
            tape.free_since(mark, &[y]);
            y
        })
    }
}

impl Module for Mlp {
    named_state!(flat layers);

    fn pack_weights(&mut self) {
        self.layers.iter_mut().for_each(Linear::pack_weights);
    }
}
