use moe_core::batch::{BatchSource, Inputs};
use moe_core::tape::{Tape, Var};
use moe_core::{Pass, Tensor};
use moe_routers::{Observed, Routing, TrainingLength};

use crate::module::Module;
use crate::predict::scratch::ModelScratch;

/// What the trainer trains: from inputs to one prediction per task.
pub trait Model: Module {
    /// Predicts all tasks for B rows.
    fn forward<'t>(&self, tape: &'t Tape, pass: &Pass<'_>, inputs: &Inputs) -> Output<'t>;

    /// Predicts all tasks for B rows for use, one matrix in `out` for each: the numbers of [`Model::forward`] in
    /// [`Mode::Infer`](moe_core::Mode::Infer). The default goes through `forward` and a tape; the models of this crate use
    /// none. Once `out` and `scratch` have grown they then allocate nothing for a single row, and for a batch nothing where
    /// the calling thread is one of rayon's, if gates and experts have an `infer` of their own.
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

    /// Called before the first training step, and again when training continues, with the longest that it can be.
    fn begin_training(&mut self, _length: TrainingLength) {}

    /// Called after each training step with what each gate observed.
    fn after_step(&mut self, _observed: &[Observed]) {}

    /// For a model that does not learn by gradient steps: learns from a whole part by a rule of its own, and returns
    /// how many passes over it that took. [`train`](crate::train) calls it in the place of the steps of an epoch, and
    /// ends after that one. `None`, the default, for any other model.
    fn fit(&mut self, _source: &dyn BatchSource) -> Option<u64> {
        None
    }
}

/// What a model predicts.
#[derive(Debug)]
pub struct Output<'t> {
    /// For each task `[B, outputs of the task]`: logits or values.
    pub predictions: Vec<Var<'t>>,
    /// What each gate decided; empty for a model without gates.
    pub routings: Vec<Routing<'t>>,
}
