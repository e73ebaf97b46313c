//! The types by which data and models communicate.

use serde::{Deserialize, Serialize};

use crate::pass::{Mode, Pass};
use crate::tensor::Tensor;

pub use crate::task::{Target, TaskKind, TaskSpec};

/// The input of a model for each row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum InputSpec {
    /// A vector of D numbers.
    Dense {
        /// Number of dense inputs (D).
        width: usize,
    },
    /// One id per column, each below the column's vocabulary.
    Ids {
        /// Name and vocabulary size of each column, in order. The first column is the key of the row (for recommenders, the user).
        columns: Vec<IdColumn>,
    },
    /// Ids, and a vector of D numbers beside them.
    Mixed {
        /// The columns, as in [`InputSpec::Ids`].
        columns: Vec<IdColumn>,
        /// Number of dense inputs (D).
        width: usize,
    },
}

impl InputSpec {
    /// The columns of ids. There are none if the input is dense.
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
    /// Name of the column.
    pub name: String,
    /// Size of the vocabulary. All ids are below it.
    pub vocabulary: usize,
}

/// The inputs of a batch, as described by an [`InputSpec`].
#[derive(Clone, Debug)]
pub enum Inputs {
    /// `[B, D]`
    Dense(Tensor),
    /// One vector of B ids per column.
    Ids(Vec<Vec<u32>>),
    /// Ids and dense inputs.
    Mixed {
        /// One vector of B ids per column.
        ids: Vec<Vec<u32>>,
        /// `[B, D]`
        dense: Tensor,
    },
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

impl<'a> Pass<'a> {
    /// The pass of a training step.
    pub fn training(batch: &'a Batch, seed: u64, step: u64, epoch: u64) -> Self {
        Pass { mode: Mode::Train, seed, step, epoch, ..Pass::inference(batch) }
    }

    /// The pass of inference on a batch.
    pub fn inference(batch: &'a Batch) -> Self {
        let Batch { row_ids, keys, .. } = batch;
        Pass { mode: Mode::Infer, seed: 0, step: 0, epoch: 0, row_ids, keys, experts: None }
    }
}
