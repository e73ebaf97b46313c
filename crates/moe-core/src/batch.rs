//! The types by which data and models communicate.

pub use crate::inputs::input_spec::{IdColumn, InputSpec, TokenSpec};
pub use crate::inputs::inputs::{InputRow, Inputs};
pub use crate::inputs::tokens::Tokens;
pub use crate::task::{Target, TaskKind, TaskSpec};

use crate::pass::{Mode, Pass};

/// Rows of a data set as the input of a model.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Identity of each of the B rows in its data set. Random draws per row are keyed by it, so that they do not depend on the
    /// position of a row in the batch.
    pub row_ids: Vec<u64>,
    /// Lookup key of each row (e.g. user id or token id), used by hash routing.
    pub keys: Vec<u64>,
    /// Planted group of each row, such as the domain that it was drawn from; `None` where the data have none. A model is not
    /// told: only a router that declares it, such as `oracle`, reads the groups, and no encoder does.
    pub groups: Option<Vec<u32>>,
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
        let groups = batch.groups.as_deref();
        Pass { row_ids: &batch.row_ids, groups, ..Pass::of_keys(&batch.keys) }
    }
}
