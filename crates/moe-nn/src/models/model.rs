use moe_core::Pass;
use moe_core::batch::{BatchSource, Inputs};
use moe_core::tape::{Tape, Vars};
use moe_routers::{Observed, Routings, TrainingLength};

use crate::module::Module;

/// A trainable model: maps inputs to one prediction per task.
pub trait Model: Module {
    /// Predicts all tasks for B rows. [`Predictor`](crate::Predictor) calls it on a tape that does not record.
    fn forward<'t>(&self, tape: &'t Tape, pass: &Pass<'_>, inputs: &Inputs) -> Output<'t>;

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
    pub predictions: Vars<'t>,
    /// The routing of each gate; empty for a model without gates.
    pub routings: Routings<'t>,
}

/// Working memory of a [`Predictor`](crate::Predictor), owned by the caller and reused from call to call. Its contents have
/// no meaning between calls.
#[derive(Debug)]
pub struct ModelScratch {
    /// The inputs of a single row.
    pub(crate) row: Option<Inputs>,
    pub(crate) tape: Tape,
}

impl Default for ModelScratch {
    fn default() -> Self {
        ModelScratch { row: None, tape: Tape::inference() }
    }
}
