use std::sync::Arc;

use moe_core::batch::TaskSpec;
use moe_core::{Real, Tensor};

/// Predictions of a model for B rows, in reusable memory: see [`Predictor`](crate::Predictor).
#[derive(Clone, Debug, Default)]
pub struct Predictions {
    pub(crate) tasks: Arc<[TaskSpec]>,
    /// `[B, outputs of the task]` for each task.
    pub(crate) outputs: Vec<Tensor>,
}

impl Predictions {
    /// Number of tasks.
    pub fn num_tasks(&self) -> usize {
        self.outputs.len()
    }

    /// Number of rows (B).
    pub fn rows(&self) -> usize {
        self.outputs.first().map_or(0, Tensor::rows)
    }

    /// The outputs of the model for a task, as [`evaluate`](crate::evaluate) sees them: for each row the logit of a binary
    /// task, the logits of a multiclass task, or the value of a regression.
    ///
    /// # Shapes
    /// `[B, outputs of the task]`
    ///
    /// # Panics
    /// If there is no such task.
    pub fn raw(&self, task: usize) -> &[Real] {
        self.outputs[task].as_slice()
    }

    /// The predictions as the kind of the task shows them ([`Task::probabilities`](moe_core::task::Task::probabilities)):
    /// the probability of the positive class of a binary task (the sigmoid of the logit), that of each class of a multiclass
    /// task (the softmax of the logits), or the value of a regression unchanged. They replace the contents of `out`.
    ///
    /// # Shapes
    /// `[B, outputs of the task]`
    ///
    /// # Panics
    /// If there is no such task.
    pub fn probabilities(&self, task: usize, out: &mut Vec<Real>) {
        out.clear();
        out.extend_from_slice(self.raw(task));
        self.tasks[task].kind.probabilities(out);
    }
}
