//! The types by which data and models communicate.

use serde::{Deserialize, Serialize};

pub use crate::inputs::input_spec::{IdColumn, InputSpec, TokenSpec};
pub use crate::inputs::inputs::{InputRow, Inputs};
pub use crate::inputs::tokens::Tokens;
use crate::real::Real;

/// The kind of prediction of a task, which decides its loss and its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TaskKind {
    /// Yes or no: binary cross-entropy on one logit.
    Binary,
    /// One of `classes` classes: cross-entropy on one logit per class.
    Multiclass {
        /// Number of classes.
        classes: usize,
    },
    /// A number: mean squared error. Rows may be masked out.
    Regression,
}

impl TaskKind {
    /// Width of the prediction: the number of logits or values per row.
    pub fn outputs(&self) -> usize {
        match self {
            TaskKind::Multiclass { classes } => *classes,
            TaskKind::Binary | TaskKind::Regression => 1,
        }
    }

    /// The name of the kind in configurations and results.
    pub fn name(&self) -> &'static str {
        match self {
            TaskKind::Binary => "binary",
            TaskKind::Multiclass { .. } => "multiclass",
            TaskKind::Regression => "regression",
        }
    }
}

/// A task of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Name of the task, unique in the data set.
    pub name: String,
    /// The kind of prediction.
    #[serde(flatten)]
    pub kind: TaskKind,
}

/// The targets of one task for the B rows of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// 0 or 1 for each row.
    Binary(Vec<Real>),
    /// The class of each row.
    Multiclass(Vec<u32>),
    /// The value of each row, and whether it counts.
    Regression {
        /// One value per row, ignored where `present` is false.
        values: Vec<Real>,
        /// Whether each row counts in loss and metrics.
        present: Vec<bool>,
    },
}

impl Target {
    /// Number of rows that count in loss and metrics.
    pub fn counted(&self) -> usize {
        match self {
            Target::Binary(values) => values.len(),
            Target::Multiclass(classes) => classes.len(),
            Target::Regression { present, .. } => present.iter().filter(|&&p| p).count(),
        }
    }
}

/// Rows of a data set as the input of a model.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Identity of each of the B rows in its data set. Random draws per row are keyed by it, so that they do not depend on the
    /// position of a row in the batch.
    pub row_ids: Vec<u64>,
    /// Lookup key of each row (e.g. user id or token id), used by hash routing.
    pub keys: Vec<u64>,
    /// Inputs of the model.
    pub inputs: Inputs,
    /// One target per task.
    pub targets: Vec<Target>,
}

impl Batch {
    /// Number of rows (B).
    pub fn rows(&self) -> usize {
        self.row_ids.len()
    }
}

/// A split of a data set that returns any of its rows as a batch.
pub trait BatchSource: Sync {
    /// Number of rows.
    fn rows(&self) -> usize;

    /// The input of the model for each row.
    fn input(&self) -> &InputSpec;

    /// The tasks, in the order of [`Batch::targets`].
    fn tasks(&self) -> &[TaskSpec];

    /// The batch of these rows, in this order.
    ///
    /// # Panics
    /// If a row does not exist.
    fn batch(&self, rows: &[u32]) -> Batch;
}
