use moe_core::batch::TaskKind;
use moe_core::kernel::vector_math::{Sigmoid, map};
use moe_core::{Real, Tensor, ops};

/// What a model predicts for B rows, in memory that is used again: see [`Predictor`](crate::Predictor).
#[derive(Clone, Debug, Default)]
pub struct Predictions {
    pub(crate) kinds: Vec<TaskKind>,
    /// `[B, outputs of the task]` of each task.
    pub(crate) outputs: Vec<Tensor>,
}

impl Predictions {
    /// Number of tasks.
    pub fn num_tasks(&self) -> usize {
        self.outputs.len()
    }

    /// B.
    pub fn rows(&self) -> usize {
        self.outputs.first().map_or(0, Tensor::rows)
    }

    /// What the model gives for a task, as [`evaluate`](crate::evaluate) sees it: for each row the logit of a yes-or-no
    /// task, the logits of several classes, or the value of a regression.
    ///
    /// # Shapes
    /// `[B, outputs of the task]`
    ///
    /// # Panics
    /// If there is no such task.
    pub fn raw(&self, task: usize) -> &[Real] {
        self.outputs[task].as_slice()
    }

    /// The same for people: the probability of yes (the sigmoid of the logit), the probability of each class (the softmax
    /// of the logits), or the value as it is. They take the place of what `out` holds.
    ///
    /// # Shapes
    /// `[B, outputs of the task]`
    ///
    /// # Panics
    /// If there is no such task.
    pub fn probabilities(&self, task: usize, out: &mut Vec<Real>) {
        out.clear();
        out.extend_from_slice(self.raw(task));
        match self.kinds[task] {
            TaskKind::Binary => map(Sigmoid, out),
            TaskKind::Multiclass { classes } => ops::softmax(out, classes),
            TaskKind::Regression => {}
        }
    }
}
