use std::collections::BTreeMap;

use moe_core::batch::{InputSpec, Inputs, TaskSpec};
use moe_core::kernel::for_each2;
use moe_core::random::chacha;
use moe_core::tape::{Tape, Var};
use moe_core::{Pass, Real, Tensor, Visit, VisitMut, named, named_mut};
use moe_routers::{
    GateSpec, Observed, Registry, RegistryError, Relabelled, Share, TrainingLength, Value,
};
use serde::{Deserialize, Serialize};

use crate::layers::layer::Layer;
use crate::layers::mlp::{Activation, Mlp, MlpOptions};
use crate::models::encoder::Encoder;
use crate::models::model::{Model, Output};
use crate::module::Module;
use crate::moe::expert_bank::ExpertBank;
use crate::moe::moe_layer::MoeLayer;
use crate::predict::scratch::HeadScratch;
use crate::predict::scratch::ModelScratch;

/// Everything needed to build a [`Mixture`], apart from a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixtureDescription {
    /// What it is given.
    pub input: InputSpec,
    /// What it predicts; one gate and one head each.
    pub tasks: Vec<TaskSpec>,
    /// Width of the embedding of each id column.
    pub embedding_width: usize,
    /// N.
    pub experts: usize,
    /// K, for routers that use it.
    pub k: usize,
    /// Widths of the hidden layers of each expert; none for experts of one layer, as in the papers.
    #[serde(default)]
    pub expert_hidden_widths: Vec<usize>,
    /// O, the width of an expert's output.
    pub expert_width: usize,
    /// Probability with which an expert's outputs are dropped in training.
    pub expert_dropout: Real,
    /// Widths of the hidden layers of each head.
    pub head_widths: Vec<usize>,
    /// The router's id in the registry.
    pub router: String,
    /// The router's parameters; defaults for those not named.
    #[serde(default)]
    pub router_parameters: BTreeMap<String, Value>,
    /// If a search has given the experts other numbers: which gates have which ([`ModelDescription::fold`]).
    ///
    /// [`ModelDescription::fold`]: crate::ModelDescription::fold
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relabelled: Option<Share>,
}

impl MixtureDescription {
    /// The model with the initial weights of `seed`.
    ///
    /// # Errors
    /// If the router is unknown, or K or one of its parameters is not allowed.
    pub fn build(&self, registry: &Registry, seed: u64) -> Result<Mixture, RegistryError> {
        let entry = registry.get(&self.router)?;
        let encoder =
            Encoder::new(&self.input, self.embedding_width, &mut chacha(seed, "init.encoder", 0));
        let spec =
            GateSpec { inputs: encoder.outputs(), experts: self.experts, k: self.k, seed, gate: 0 };
        let mut gates = entry.build(&spec, self.tasks.len(), &self.router_parameters)?;
        if let Some(share) = self.relabelled {
            gates = Box::new(Relabelled::identity(gates, share));
        }
        let expert = MlpOptions {
            hidden: self.expert_hidden_widths.clone(),
            output_activation: Activation::Relu,
            output_dropout: self.expert_dropout,
            name: "experts".into(),
            ..MlpOptions::default()
        };
        let experts = ExpertBank::new(
            self.experts,
            spec.inputs,
            self.expert_width,
            &expert,
            &mut chacha(seed, "init.experts", 0),
        );
        let heads = heads(&self.tasks, self.expert_width, &self.head_widths, seed);
        let layer = MoeLayer::new(gates, Box::new(experts));
        Ok(Mixture::new(encoder, layer, heads))
    }
}

/// A head for each task, with the initial weights of `seed`.
pub(crate) fn heads(tasks: &[TaskSpec], inputs: usize, hidden: &[usize], seed: u64) -> Vec<Mlp> {
    let options = MlpOptions { hidden: hidden.into(), ..MlpOptions::default() };
    let heads = tasks.iter().enumerate().map(|(i, task)| {
        let mut rng = chacha(seed, "init.head", i as u64);
        Mlp::new(inputs, task.kind.outputs(), &options, &mut rng)
    });
    heads.collect()
}

/// The prediction of the head of every task from its input.
///
/// # Panics
/// If the numbers of heads and inputs differ.
pub(crate) fn forward_heads<'t>(
    heads: &[Mlp],
    pass: &Pass<'_>,
    inputs: &[Var<'t>],
) -> Vec<Var<'t>> {
    assert_eq!(heads.len(), inputs.len(), "one head per input");
    heads.iter().zip(inputs).map(|(head, &x)| head.forward(pass, x)).collect()
}

/// For a row, of the head that has most.
fn most_multiply_adds(heads: &[Mlp]) -> usize {
    heads.iter().map(Mlp::multiply_adds).max().unwrap_or(0)
}

/// Calls `infer(task, memory, output)` for the head of every task, all in one parallel region if there are many rows.
pub(crate) fn infer_heads(
    heads: &[Mlp],
    rows: usize,
    scratch: &mut Vec<HeadScratch>,
    out: &mut Vec<Tensor>,
    infer: impl Fn(usize, &mut HeadScratch, &mut Tensor) + Sync,
) {
    scratch.resize_with(heads.len(), HeadScratch::default);
    out.resize_with(heads.len(), Tensor::default);
    for_each2((rows, most_multiply_adds(heads)), scratch, out, infer);
}

/// The papers' model: an encoder, a multi-gate mixture of experts, and a head per task.
///
/// With two id columns it is COMET's recommender (user and item embeddings side by side); with dense inputs the
/// rows go to gates and experts as they are. Initial weights follow Keras: Glorot-uniform dense layers, zero
/// biases, embeddings uniform on ±0.05.
#[derive(Debug)]
pub struct Mixture {
    encoder: Encoder,
    layer: MoeLayer,
    heads: Vec<Mlp>,
}

impl Mixture {
    /// A mixture of these parts, for gates or experts that no description names; one head per task and gate.
    ///
    /// # Panics
    /// If there is not one head per gate.
    pub fn new(encoder: Encoder, layer: MoeLayer, heads: Vec<Mlp>) -> Self {
        assert_eq!(heads.len(), layer.num_gates(), "one head per gate");
        Mixture { encoder, layer, heads }
    }

    /// What makes of inputs the rows that gates and experts see.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The gates and the experts.
    pub fn layer(&self) -> &MoeLayer {
        &self.layer
    }
}

impl Model for Mixture {
    fn forward<'t>(&self, tape: &'t Tape, pass: &Pass<'_>, inputs: &Inputs) -> Output<'t> {
        let rows = self.encoder.forward(tape, inputs);
        let (outputs, routings) = self.layer.forward(pass, rows);
        Output { predictions: forward_heads(&self.heads, pass, &outputs), routings }
    }

    fn infer(
        &self,
        inputs: &Inputs,
        keys: &[u64],
        out: &mut Vec<Tensor>,
        scratch: &mut ModelScratch,
    ) {
        let ModelScratch { rows, layer, work, heads, .. } = scratch;
        self.layer.infer(self.encoder.infer(inputs, rows), keys, layer, work);
        infer_heads(
            &self.heads,
            keys.len(),
            heads,
            out,
            |gate, HeadScratch { mixed, hidden }, out| {
                layer.combine(gate, mixed);
                self.heads[gate].infer(mixed, out, hidden);
            },
        );
    }

    fn begin_training(&mut self, length: TrainingLength) {
        self.layer.begin_training(length);
    }

    fn after_step(&mut self, observed: &[Observed]) {
        self.layer.after_step(observed);
    }
}

impl Module for Mixture {
    fn visit(&self, f: &mut Visit<'_>) {
        named("encoder", f, |f| self.encoder.visit(f));
        named("layer", f, |f| self.layer.visit(f));
        for (task, head) in self.heads.iter().enumerate() {
            named(&format!("heads.{task}"), f, |f| head.visit(f));
        }
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        named_mut("encoder", f, |f| self.encoder.visit_mut(f));
        named_mut("layer", f, |f| self.layer.visit_mut(f));
        for (task, head) in self.heads.iter_mut().enumerate() {
            named_mut(&format!("heads.{task}"), f, |f| head.visit_mut(f));
        }
    }

    fn pack_weights(&mut self) {
        self.layer.pack_weights();
        self.heads.iter_mut().for_each(Mlp::pack_weights);
    }
}
