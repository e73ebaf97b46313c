use moe_core::batch::{InputSpec, Inputs, TaskSpec};
use moe_core::random::chacha;
use moe_core::tape::{Tape, Vars};
use moe_core::{Real, named_state};
use moe_routers::Registry;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::layers::forward::Forward;
use crate::layers::layer::Layer;
use crate::layers::mlp::{Mlp, MlpOptions};
use crate::layers::stage::Activation;
use crate::models::column_encoder::ColumnEncoder;
use crate::models::description::{
    ModelDescription, check_dropout, check_tasks, check_width, dense_weights,
};
use crate::models::encoder::Encoder;
use crate::models::expert_kind::{ExpertKind, MlpExperts};
use crate::models::heads::{forward_heads, heads};
use crate::models::mixture_description::MixtureDescription;
use crate::models::model::Model;
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
    pub(crate) const KIND: &str = "shared-bottom";

    /// The baseline for a mixture that computes `experts` of its experts per row.
    ///
    /// It has one dense expert with the layers, activations and dropout of the experts of the mixture, all of its widths
    /// multiplied by one factor. The factor is the largest at which the expert and the heads together have no more
    /// parameters than `experts` experts and the heads of the mixture (a wider expert also widens the first layer of the
    /// heads). Apart from biases, that is also the number of multiplications per row. Gates do not count. With one expert
    /// the widths are those of the mixture.
    ///
    /// # Errors
    /// If there are no experts, or their width is 0.
    pub fn replacing(mixture: &MixtureDescription, experts: usize) -> Result<Self, ModelError> {
        let ExpertKind::Mlp(MlpExperts { hidden_widths, width: expert_width, dropout }) =
            &mixture.expert;
        check_width("an expert", *expert_width)?;
        check_width("all experts of a row", experts)?;
        let scaled = |width: usize| SharedBottomDescription {
            input: mixture.input.clone(),
            tasks: mixture.tasks.clone(),
            embedding_width: mixture.embedding_width,
            // To the nearest whole number.
            hidden_widths: (hidden_widths.iter())
                .map(|hidden| (hidden * width + expert_width / 2) / expert_width)
                .collect(),
            width,
            dropout: *dropout,
            head_widths: mixture.head_widths.clone(),
        };
        let one = scaled(*expert_width);
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
        Ok(scaled(fits))
    }

    /// Width of an encoded row (D).
    fn encoded_width(&self) -> usize {
        ColumnEncoder::width_for(&self.input, self.embedding_width)
    }

    /// Number of parameters of the bottom.
    fn bottom_size(&self) -> u128 {
        size(self.encoded_width(), &self.hidden_widths, self.width)
    }

    /// Number of parameters of all heads.
    fn heads_size(&self) -> u128 {
        let head = |task: &TaskSpec| size(self.width, &self.head_widths, task.kind.outputs());
        self.tasks.iter().map(head).sum()
    }

    /// The model with the initial weights of `seed`.
    ///
    /// # Panics
    /// If a size is not allowed ([`ModelDescription::validate`]).
    pub fn build(&self, seed: u64) -> SharedBottom {
        let encoder = ColumnEncoder::new(
            &self.input,
            self.embedding_width,
            &mut chacha(seed, "init.encoder", 0),
        );
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
        SharedBottom { encoder: Box::new(encoder), bottom, heads }
    }
}

impl ModelDescription for SharedBottomDescription {
    fn kind(&self) -> &str {
        Self::KIND
    }

    fn fields(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a description has text keys")
    }

    fn input(&self) -> &InputSpec {
        &self.input
    }

    fn tasks(&self) -> &[TaskSpec] {
        &self.tasks
    }

    fn tasks_mut(&mut self) -> &mut Vec<TaskSpec> {
        &mut self.tasks
    }

    fn weights(&self, _routers: &Registry) -> f64 {
        let embeddings = ColumnEncoder::weights_for(&self.input, self.embedding_width);
        let heads = self
            .tasks
            .iter()
            .map(|task| dense_weights(self.width, &self.head_widths, task.kind.outputs()));
        let bottom = dense_weights(self.encoded_width(), &self.hidden_widths, self.width);
        embeddings + bottom + heads.sum::<f64>()
    }

    fn validate(&self, _routers: &Registry) -> Result<(), ModelError> {
        check_tasks(&self.tasks)?;
        ColumnEncoder::check_spec(&self.input)?;
        check_width("an encoded row", self.encoded_width())?;
        let hidden = self.hidden_widths.iter().chain(&self.head_widths);
        hidden.chain([&self.width]).try_for_each(|&width| check_width("a layer", width))?;
        check_dropout("the bottom", self.dropout)
    }

    fn build_model(&self, _routers: &Registry, seed: u64) -> Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(self.build(seed)))
    }
}

/// Number of weights and biases of dense layers from `inputs` to `outputs`, exact.
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
    encoder: Box<dyn Encoder>,
    bottom: Mlp,
    heads: Vec<Mlp>,
}

impl Model for SharedBottom {
    fn forward<'t>(&self, tape: &'t Tape, pass: &Forward<'_, 't>, inputs: &Inputs) -> Vars<'t> {
        let shared = self.bottom.forward(pass, self.encoder.forward(tape, pass, inputs));
        forward_heads(&self.heads, pass, &Vars::from_elem(shared, self.heads.len()))
    }
}

impl Module for SharedBottom {
    named_state!("encoder" => child encoder, "bottom" => child bottom, "heads" => child heads);

    fn pack_weights(&mut self) {
        self.encoder.pack_weights();
        self.bottom.pack_weights();
        self.heads.iter_mut().for_each(Mlp::pack_weights);
    }
}
