use std::collections::BTreeMap;

use moe_core::batch::{InputSpec, Inputs, TaskSpec};
use moe_core::random::chacha;
use moe_core::tape::Tape;
use moe_core::{Pass, Real, named_state};
use moe_routers::{
    GateSpec, Observed, Registry, RegistryError, Relabelled, Share, TrainingLength, Value,
};
use serde::{Deserialize, Serialize};

use crate::layers::mlp::{Mlp, MlpOptions};
use crate::layers::stage::Activation;
use crate::models::encoder::Encoder;
use crate::models::heads::{forward_heads, heads};
use crate::models::model::{Model, Output};
use crate::module::Module;
use crate::moe::expert_bank::ExpertBank;
use crate::moe::moe_layer::MoeLayer;

/// Everything needed to build a [`Mixture`], except a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixtureDescription {
    /// The inputs.
    pub input: InputSpec,
    /// The tasks; each has a gate and a head.
    pub tasks: Vec<TaskSpec>,
    /// Width of the embedding of each id column.
    pub embedding_width: usize,
    /// Number of experts (N).
    pub experts: usize,
    /// Number of experts per row (K), for routers that use it.
    pub k: usize,
    /// Widths of the hidden layers of each expert; empty for experts of one layer, as in the papers.
    #[serde(default)]
    pub expert_hidden_widths: Vec<usize>,
    /// Width of an expert's output (O).
    pub expert_width: usize,
    /// Dropout probability for the outputs of an expert.
    pub expert_dropout: Real,
    /// Widths of the hidden layers of each head.
    pub head_widths: Vec<usize>,
    /// Id of the router in the registry.
    pub router: String,
    /// Parameters of the router; those not named have their defaults.
    #[serde(default)]
    pub router_parameters: BTreeMap<String, Value>,
    /// Which gates share a permutation of the experts, if a search has found one ([`ModelDescription::fold`]).
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

/// The model of the papers: an encoder, a multi-gate mixture of experts, and a head per task.
///
/// With two id columns it is the recommender of COMET (user and item embeddings side by side); dense inputs are passed to
/// gates and experts unchanged. Initial weights follow Keras: Glorot-uniform dense layers, zero biases, and embeddings
/// uniform on ±0.05.
#[derive(Debug)]
pub struct Mixture {
    encoder: Encoder,
    layer: MoeLayer,
    heads: Vec<Mlp>,
}

impl Mixture {
    /// A mixture of existing modules, for gates or experts that no description covers; one head per task and gate.
    ///
    /// # Panics
    /// If there is not one head per gate.
    pub fn new(encoder: Encoder, layer: MoeLayer, heads: Vec<Mlp>) -> Self {
        assert_eq!(heads.len(), layer.num_gates(), "one head per gate");
        Mixture { encoder, layer, heads }
    }

    /// The encoder, which turns inputs into the rows that gates and experts see.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The layer of gates and experts.
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

    fn begin_training(&mut self, length: TrainingLength) {
        self.layer.begin_training(length);
    }

    fn after_step(&mut self, observed: &[Observed]) {
        self.layer.after_step(observed);
    }
}

impl Module for Mixture {
    named_state!("encoder" => child encoder, "layer" => child layer, "heads" => child heads);

    fn pack_weights(&mut self) {
        self.layer.pack_weights();
        self.heads.iter_mut().for_each(Mlp::pack_weights);
    }
}
