use moe_core::batch::{InputSpec, Inputs, TaskSpec};
use moe_core::random::chacha;
use moe_core::tape::Tape;
use moe_core::{Pass, Real, Tensor, Visit, VisitMut, named, named_mut};
use serde::{Deserialize, Serialize};

use crate::layers::layer::Layer;
use crate::layers::mlp::{Activation, Mlp, MlpOptions};
use crate::models::encoder::Encoder;
use crate::models::mixture::MixtureDescription;
use crate::models::mixture::{forward_heads, heads, infer_heads};
use crate::models::model::{Model, Output};
use crate::module::Module;
use crate::predict::scratch::HeadScratch;
use crate::predict::scratch::ModelScratch;

/// Everything needed to build a [`SharedBottom`], apart from a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedBottomDescription {
    /// What it is given.
    pub input: InputSpec,
    /// What it predicts; one head each.
    pub tasks: Vec<TaskSpec>,
    /// Width of the embedding of each id column.
    pub embedding_width: usize,
    /// Widths of the hidden layers of the bottom.
    pub hidden_widths: Vec<usize>,
    /// Width of its output.
    pub width: usize,
    /// Probability with which its outputs are dropped in training.
    pub dropout: Real,
    /// Widths of the hidden layers of each head.
    pub head_widths: Vec<usize>,
}

impl SharedBottomDescription {
    /// The baseline to a mixture that gives `experts` of its experts to a row.
    ///
    /// It has one dense expert with the layers, activations and dropout of the mixture's, all of its widths multiplied
    /// by one factor. The factor is the largest with which the expert and the heads together do not have more learnable
    /// numbers than `experts` experts and the heads of the mixture (a wider expert makes the first layer of the heads
    /// larger too). But for biases that is also the number of multiplications per row. Gates do not count. With one
    /// expert the widths are the mixture's.
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
            match tried.bottom_size() + tried.heads_size() <= most {
                true => fits = width,
                false => beyond = width,
            }
        }
        scaled(fits)
    }

    /// Learnable numbers of the bottom.
    fn bottom_size(&self) -> u128 {
        let embeddings = self.input.id_columns().len() * self.embedding_width;
        let inputs = embeddings + self.input.dense_width();
        size(inputs, &self.hidden_widths, self.width)
    }

    /// Learnable numbers of all heads.
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

/// Weights and biases of dense layers from `inputs` to `outputs`.
fn size(inputs: usize, hidden: &[usize], outputs: usize) -> u128 {
    let widths = [&[inputs], hidden, &[outputs]].concat();
    widths.windows(2).map(|pair| (pair[0] as u128 + 1) * pair[1] as u128).sum()
}

/// One dense network under the heads of all tasks, without gates: what a mixture has to be better than (Caruana,
/// "Multitask learning", Machine Learning 28, 1997).
///
/// Encoder, heads and initial weights are as in a [`Mixture`](crate::Mixture).
#[derive(Debug)]
pub struct SharedBottom {
    encoder: Encoder,
    bottom: Mlp,
    heads: Vec<Mlp>,
}

impl Model for SharedBottom {
    fn forward<'t>(&self, tape: &'t Tape, pass: &Pass<'_>, inputs: &Inputs) -> Output<'t> {
        let shared = self.bottom.forward(pass, self.encoder.forward(tape, inputs));
        let inputs = vec![shared; self.heads.len()];
        let predictions = forward_heads(&self.heads, pass, &inputs);
        Output { predictions, routings: Vec::new() }
    }

    fn infer(
        &self,
        inputs: &Inputs,
        keys: &[u64],
        out: &mut Vec<Tensor>,
        scratch: &mut ModelScratch,
    ) {
        let ModelScratch { rows, shared, work, heads, .. } = scratch;
        self.bottom.infer(self.encoder.infer(inputs, rows), shared, &mut work.hidden);
        infer_heads(
            &self.heads,
            keys.len(),
            heads,
            out,
            |task, HeadScratch { hidden, .. }, out| {
                self.heads[task].infer(shared, out, hidden);
            },
        );
    }
}

impl Module for SharedBottom {
    fn visit(&self, f: &mut Visit<'_>) {
        named("encoder", f, |f| self.encoder.visit(f));
        named("bottom", f, |f| self.bottom.visit(f));
        for (task, head) in self.heads.iter().enumerate() {
            named(&format!("heads.{task}"), f, |f| head.visit(f));
        }
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        named_mut("encoder", f, |f| self.encoder.visit_mut(f));
        named_mut("bottom", f, |f| self.bottom.visit_mut(f));
        for (task, head) in self.heads.iter_mut().enumerate() {
            named_mut(&format!("heads.{task}"), f, |f| head.visit_mut(f));
        }
    }

    fn pack_weights(&mut self) {
        self.bottom.pack_weights();
        self.heads.iter_mut().for_each(Mlp::pack_weights);
    }
}
