use moe_core::batch::{BatchSource, Inputs};
use moe_core::tape::{Tape, Var};
use moe_core::{Pass, Tensor};
use moe_routers::{Observed, Routing, TrainingLength};

use crate::models::heads::HeadScratch;
use crate::module::Module;
use crate::moe::experts::ExpertScratch;
use crate::moe::moe_layer::LayerOutputs;

/// A trainable model: maps inputs to one prediction per task.
pub trait Model: Module {
    /// Predicts all tasks for B rows.
    fn forward<'t>(&self, tape: &'t Tape, pass: &Pass<'_>, inputs: &Inputs) -> Output<'t>;

    /// Predicts all tasks for B rows at inference, one matrix in `out` per task: the values of [`Model::forward`] in
    /// [`Mode::Infer`](moe_core::Mode::Infer). The default implementation calls `forward` on a tape; the models of this
    /// crate use no tape. They allocate nothing for a single row once `out` and `scratch` have grown, and nothing for a
    /// batch if also the calling thread belongs to a rayon pool and gates and experts implement `infer`.
    ///
    /// # Shapes
    /// B rows, B keys → for each task `[B, outputs of the task]`
    ///
    /// # Panics
    /// As `forward`.
    fn infer(
        &self,
        inputs: &Inputs,
        keys: &[u64],
        out: &mut Vec<Tensor>,
        scratch: &mut ModelScratch,
    ) {
        scratch.work.routing.with_tape(|tape| {
            let output = self.forward(tape, &Pass::of_keys(keys), inputs);
            out.resize_with(output.predictions.len(), Tensor::default);
            for (out, prediction) in out.iter_mut().zip(&output.predictions) {
                *out = prediction.value();
            }
        });
    }

    /// Called before the first training step, and again when training continues, with the largest number of steps.
    fn begin_training(&mut self, _length: TrainingLength) {}

    /// Called after each training step with the observations of each gate.
    fn after_step(&mut self, _observed: &[Observed]) {}

    /// Fits a model that is not trained by gradient steps to a whole data split, and returns the number of passes over
    /// it. [`train`](crate::train) calls this instead of running the steps of an epoch, and stops after that epoch. All
    /// other models return `None`, the default.
    fn fit(&mut self, _source: &dyn BatchSource) -> Option<u64> {
        None
    }
}

/// Predictions of a model.
#[derive(Debug)]
pub struct Output<'t> {
    /// For each task `[B, outputs of the task]`: logits or values.
    pub predictions: Vec<Var<'t>>,
    /// The routing of each gate; empty for a model without gates.
    pub routings: Vec<Routing<'t>>,
}

/// Working memory of [`Model::infer`] for any model, owned by the caller and reused from call to call. Its contents have
/// no meaning between calls.
#[derive(Debug, Default)]
pub struct ModelScratch {
    /// The inputs of a single row.
    pub(crate) row: Inputs,
    /// `[B, D]`: the output of the encoder.
    pub(crate) rows: Tensor,
    /// `[B, O]`: the input of all heads, if it is the same.
    pub(crate) shared: Tensor,
    pub(crate) layer: LayerOutputs,
    pub(crate) work: ExpertScratch,
    pub(crate) heads: Vec<HeadScratch>,
}
