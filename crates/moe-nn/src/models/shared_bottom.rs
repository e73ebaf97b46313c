use moe_core::batch::{InputSpec, Inputs, TaskSpec};
use moe_core::random::chacha;
use moe_core::tape::{Tape, Vars};
use moe_core::{Pass, Real, named_state};
use moe_routers::Routings;
use serde::{Deserialize, Serialize};

use crate::layers::layer::Layer;
use crate::layers::mlp::{Mlp, MlpOptions};
use crate::layers::stage::Activation;
use crate::models::encoder::Encoder;
use crate::models::heads::{forward_heads, heads};
use crate::models::mixture::MixtureDescription;
use crate::models::model::{Model, Output};
use crate::module::Module;

/// Everything needed to build a [`SharedBottom`], except a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedBottomDescription {
    /// The inputs.
    pub input: InputSpec,
    /// The tasks; each has a head.
    pub tasks: Vec<TaskSpec>,
    /// Width of the embedding of each id column.
    pub embedding_width: usize,
    /// Widths of the hidden layers of the bottom.
    pub hidden_widths: Vec<usize>,
    /// Width of the output of the bottom.
    pub width: usize,
    /// Dropout probability for the outputs of the bottom.
    pub dropout: Real,
    /// Widths of the hidden layers of each head.
    pub head_widths: Vec<usize>,
}

impl SharedBottomDescription {
    /// The baseline for a mixture that computes `experts` of its experts per row.
    ///
    /// It has one dense expert with the layers, activations and dropout of the experts of the mixture, all of its widths
    /// multiplied by one factor. The factor is the largest at which the expert and the heads together have no more
    /// parameters than `experts` experts and the heads of the mixture (a wider expert also widens the first layer of the
    /// heads). Apart from biases, that is also the number of multiplications per row. Gates do not count. With one expert
    /// the widths are those of the mixture.
    ///
    /// # Panics
    /// If there are no experts, or the mixture has a width of 0.
    pub fn replacing(mixture: &MixtureDescription, experts: usize) -> Self {
        assert!(experts > 0 && mixture.expert_width > 0, "a bottom has a width");
        let scaled = |width: usize| SharedBottomDescription {
            input: mixture.input.clone(),
            tasks: mixture.tasks.clone(),
            embedding_width: mixture.embedding_width,
            // To the nearest whole number.
            hidden_widths: (mixture.expert_hidden_widths.iter())
                .map(|hidden| (hidden * width + mixture.expert_width / 2) / mixture.expert_width)
                .collect(),
            width,
            dropout: mixture.expert_dropout,
            head_widths: mixture.head_widths.clone(),
        };
        let one = scaled(mixture.expert_width);
        let most = experts as u128 * one.bottom_size() + one.heads_size();
        let (mut fits, mut beyond) = (one.width, experts * one.width + 1);
        while beyond - fits > 1 {
            let width = fits.midpoint(beyond);
            let tried = scaled(width);
            if tried.bottom_size() + tried.heads_size() <= most {
                fits = width;
            } else {
                beyond = width;
            }
        }
        scaled(fits)
    }

    /// Number of parameters of the bottom.
    fn bottom_size(&self) -> u128 {
        let embeddings = self.input.id_columns().len() * self.embedding_width;
        let inputs = embeddings + self.input.dense_width();
        size(inputs, &self.hidden_widths, self.width)
    }

    /// Number of parameters of all heads.
    fn heads_size(&self) -> u128 {
        let head = |task: &TaskSpec| size(self.width, &self.head_widths, task.kind.outputs());
        self.tasks.iter().map(head).sum()
    }

    /// The model with the initial weights of `seed`.
    pub fn build(&self, seed: u64) -> SharedBottom {
        let encoder =
            Encoder::new(&self.input, self.embedding_width, &mut chacha(seed, "init.encoder", 0));
        let options = MlpOptions {
            hidden: self.hidden_widths.clone(),
            output_activation: Activation::Relu,
            output_dropout: self.dropout,
            name: "bottom".into(),
            ..MlpOptions::default()
        };
        let mut rng = chacha(seed, "init.bottom", 0);
        let bottom = Mlp::new(encoder.outputs(), self.width, &options, &mut rng);
        let heads = heads(&self.tasks, self.width, &self.head_widths, seed);
        SharedBottom { encoder, bottom, heads }
    }
}

/// Number of weights and biases of dense layers from `inputs` to `outputs`.
fn size(inputs: usize, hidden: &[usize], outputs: usize) -> u128 {
    let widths = [&[inputs], hidden, &[outputs]].concat();
    widths.windows(2).map(|pair| (pair[0] as u128 + 1) * pair[1] as u128).sum()
}

/// One dense network under the heads of all tasks, without gates: the baseline that a mixture has to beat (Caruana,
/// "Multitask learning", Machine Learning 28, 1997).
///
/// Encoder, heads and initial weights are those of a [`Mixture`](crate::Mixture).
#[derive(Debug)]
pub struct SharedBottom {
    encoder: Encoder,
    bottom: Mlp,
    heads: Vec<Mlp>,
}

impl Model for SharedBottom {
    fn forward<'t>(&self, tape: &'t Tape, pass: &Pass<'_>, inputs: &Inputs) -> Output<'t> {
        let shared = self.bottom.forward(pass, self.encoder.forward(tape, inputs));
        let inputs = Vars::from_elem(shared, self.heads.len());
        let predictions = forward_heads(&self.heads, pass, &inputs);
        Output { predictions, routings: Routings::new() }
    }
}

impl Module for SharedBottom {
    named_state!("encoder" => child encoder, "bottom" => child bottom, "heads" => child heads);

    fn pack_weights(&mut self) {
        self.bottom.pack_weights();
        self.heads.iter_mut().for_each(Mlp::pack_weights);
    }
}
