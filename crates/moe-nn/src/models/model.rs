use std::sync::Arc;

use moe_core::Pass;
use moe_core::batch::{BatchSource, Inputs};
use moe_core::tape::{Tape, Vars};
use moe_routers::Routing;

use crate::layers::forward::{Forward, LayerRoutings, RoutingRecord};
use crate::module::Module;

/// A trainable model: maps inputs to one prediction per task.
///
/// A model that contains MoE layers passes `pass` on to them, and lists their gates in [`Module::gates_mut`].
pub trait Model: Module {
    /// Predicts all tasks for B rows; the MoE layers leave their routings in the pass.
    /// [`Predictor`](crate::Predictor) calls it on a tape that does not record.
    ///
    /// # Shapes
    /// B rows → for each task `[B, outputs of the task]`: logits or values
    fn forward<'t>(&self, tape: &'t Tape, pass: &Forward<'_, 't>, inputs: &Inputs) -> Vars<'t>;

    /// [`Model::forward`] with the routings that the MoE layers leave.
    fn run<'t>(&self, tape: &'t Tape, pass: &Pass<'_>, inputs: &Inputs) -> Output<'t> {
        let routings = RoutingRecord::default();
        let predictions = self.forward(tape, &Forward::new(*pass, &routings), inputs);
        Output { predictions, layers: routings.into_layers() }
    }

    /// Fits a model that is not trained by gradient steps to a whole data split, and returns the number of passes over
    /// it. [`train`](crate::train) calls this instead of running epochs. All other models return `None`, the default.
    fn fit(&mut self, _source: &dyn BatchSource) -> Option<u64> {
        None
    }
}

/// Result of [`Model::run`].
#[derive(Debug)]
pub struct Output<'t> {
    /// For each task `[B, outputs of the task]`: logits or values.
    pub predictions: Vars<'t>,
    /// The routings of each MoE layer; empty for a model without one.
    pub layers: Vec<LayerRoutings<'t>>,
}

impl<'t> Output<'t> {
    /// The routings of all gates of all layers, with the name of the layer and the index of the gate there.
    pub fn gates(&self) -> impl Iterator<Item = (&Arc<str>, usize, &Routing<'t>)> {
        self.layers.iter().flat_map(|layer| {
            let gates = layer.gates.iter().enumerate();
            gates.map(move |(gate, routing)| (&layer.layer, gate, routing))
        })
    }
}

/// Working memory of a [`Predictor`](crate::Predictor), owned by the caller and reused from call to call. Its contents have
/// no meaning between calls.
#[derive(Debug)]
pub struct ModelScratch {
    /// The inputs of a single row.
    pub(crate) row: Inputs,
    pub(crate) tape: Tape,
}

impl Default for ModelScratch {
    fn default() -> Self {
        ModelScratch { row: Inputs::default(), tape: Tape::inference() }
    }
}
