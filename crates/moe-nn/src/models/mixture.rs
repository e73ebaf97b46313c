use moe_core::batch::Inputs;
use moe_core::named_state;
use moe_core::tape::{Tape, Vars};

use crate::layers::forward::Forward;
use crate::layers::mlp::Mlp;
use crate::models::encoder::Encoder;
use crate::models::heads::forward_heads;
use crate::models::model::Model;
use crate::module::{LayerGates, Module};
use crate::moe::moe_layer::MoeLayer;

/// The model of the papers: an encoder, a multi-gate mixture of experts, and a head per task.
///
/// With two id columns it is the recommender of COMET (user and item embeddings side by side); dense inputs are passed to
/// gates and experts unchanged. Initial weights follow Keras: Glorot-uniform dense layers, zero biases, and embeddings
/// uniform on ±0.05.
#[derive(Debug)]
pub struct Mixture {
    encoder: Box<dyn Encoder>,
    layer: MoeLayer,
    heads: Vec<Mlp>,
}

impl Mixture {
    /// A mixture of existing modules, for gates or experts that no description covers; one head per task and gate.
    ///
    /// # Panics
    /// If there is not one head per gate.
    pub fn new(encoder: Box<dyn Encoder>, layer: MoeLayer, heads: Vec<Mlp>) -> Self {
        assert_eq!(heads.len(), layer.num_gates(), "one head per gate");
        Mixture { encoder, layer, heads }
    }

    /// The encoder, which turns inputs into the rows that gates and experts see.
    pub fn encoder(&self) -> &dyn Encoder {
        &*self.encoder
    }

    /// The layer of gates and experts.
    pub fn layer(&self) -> &MoeLayer {
        &self.layer
    }
}

impl Model for Mixture {
    fn forward<'t>(&self, tape: &'t Tape, pass: &Forward<'_, 't>, inputs: &Inputs) -> Vars<'t> {
        let rows = self.encoder.forward(tape, pass, inputs);
        forward_heads(&self.heads, pass, &self.layer.forward_gates(pass, rows))
    }
}

impl Module for Mixture {
    named_state!("encoder" => child encoder, "layer" => child layer, "heads" => child heads);

    fn pack_weights(&mut self) {
        self.encoder.pack_weights();
        self.layer.pack_weights();
        self.heads.iter_mut().for_each(Mlp::pack_weights);
    }

    fn gates_mut(&mut self) -> Vec<LayerGates<'_>> {
        self.layer.gates_mut()
    }
}
