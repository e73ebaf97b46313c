//! The types that data and models meet in.

use serde::{Deserialize, Serialize};

use crate::real::Real;
use crate::tensor::Tensor;

/// What a task predicts, which decides its loss and its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TaskKind {
    /// Yes or no: binary cross-entropy on one logit.
    Binary,
    /// One of `classes`: cross-entropy on that many logits.
    Multiclass {
        /// Number of classes.
        classes: usize,
    },
    /// A number: mean squared error; rows may be masked out.
    Regression,
}

impl TaskKind {
    /// Width of the prediction: number of logits or values per row.
    pub fn outputs(&self) -> usize {
        match self {
            TaskKind::Multiclass { classes } => *classes,
            TaskKind::Binary | TaskKind::Regression => 1,
        }
    }

    /// The kind's name as it stands in configurations and results.
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
    /// Its name, unique in the data set.
    pub name: String,
    /// What it predicts.
    #[serde(flatten)]
    pub kind: TaskKind,
}

/// What a model is given for each row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum InputSpec {
    /// A vector of D numbers.
    Dense {
        /// D.
        width: usize,
    },
    /// One id per column, each below the column's vocabulary.
    Ids {
        /// Name and vocabulary size of each column, in order. The first one is the row's key
        /// (for recommenders, the user).
        columns: Vec<IdColumn>,
    },
    /// Ids, and a vector of D numbers beside them.
    Mixed {
        /// As in [`InputSpec::Ids`].
        columns: Vec<IdColumn>,
        /// D.
        width: usize,
    },
}

impl InputSpec {
    /// The columns of ids; none if the input is dense.
    pub fn id_columns(&self) -> &[IdColumn] {
        match self {
            InputSpec::Dense { .. } => &[],
            InputSpec::Ids { columns } | InputSpec::Mixed { columns, .. } => columns,
        }
    }

    /// Number of dense inputs.
    pub fn dense_width(&self) -> usize {
        match self {
            InputSpec::Dense { width } | InputSpec::Mixed { width, .. } => *width,
            InputSpec::Ids { .. } => 0,
        }
    }
}

/// A column of ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdColumn {
    /// Its name.
    pub name: String,
    /// All ids are below this.
    pub vocabulary: usize,
}

/// The inputs of a batch, as its [`InputSpec`] says.
#[derive(Clone, Debug)]
pub enum Inputs {
    /// `[B, D]`
    Dense(Tensor),
    /// One vector of B ids per column.
    Ids(Vec<Vec<u32>>),
    /// Both.
    Mixed {
        /// One vector of B ids per column.
        ids: Vec<Vec<u32>>,
        /// `[B, D]`
        dense: Tensor,
    },
}

/// What one task should have predicted for the B rows of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// 0 or 1 for each row.
    Binary(Vec<Real>),
    /// The class of each row.
    Multiclass(Vec<u32>),
    /// The value of each row, and whether it counts.
    Regression {
        /// One value a row; ignored where `present` is false.
        values: Vec<Real>,
        /// Whether the row takes part in loss and metrics.
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

/// Rows on their way from a data set into a model.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Identity of each of the B rows in its data set. Random draws per row are keyed by it, so they
    /// do not depend on a row's place in the batch.
    pub row_ids: Vec<u64>,
    /// What each row is about (a user id, a token id), for routers that look it up.
    pub keys: Vec<u64>,
    /// What the model is given.
    pub inputs: Inputs,
    /// One target per task.
    pub targets: Vec<Target>,
}

impl Batch {
    /// B.
    pub fn rows(&self) -> usize {
        self.row_ids.len()
    }
}

/// A part of a data set that can hand out any of its rows as a batch.
pub trait BatchSource: Sync {
    /// Number of rows.
    fn rows(&self) -> usize;

    /// What the model is given.
    fn input(&self) -> &InputSpec;

    /// The tasks, in the order of [`Batch::targets`].
    fn tasks(&self) -> &[TaskSpec];

    /// The batch of these rows, in this order.
    ///
    /// # Panics
    /// If a row does not exist.
    fn batch(&self, rows: &[u32]) -> Batch;
}
