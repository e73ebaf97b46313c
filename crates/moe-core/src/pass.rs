use crate::batch::Batch;
use crate::random::Philox;

/// Whether a model learns or is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dropout, sampling, noise and auxiliary losses are on.
    Train,
    /// Deterministic.
    Infer,
}

/// The circumstances of one forward pass: what modules and routers need besides their inputs.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    /// Learning or using.
    pub mode: Mode,
    /// Seed of the run.
    pub seed: u64,
    /// Number of steps taken before this one; all random draws of a pass are keyed by it.
    pub step: u64,
    /// Number of epochs completed before this one.
    pub epoch: u64,
    /// Identity of each of the B rows; see [`Batch::row_ids`](crate::batch::Batch::row_ids).
    pub row_ids: &'a [u64],
    /// What each row is about; see [`Batch::keys`](crate::batch::Batch::keys).
    pub keys: &'a [u64],
}

impl<'a> Pass<'a> {
    /// The pass of a training step.
    pub fn training(batch: &'a Batch, seed: u64, step: u64, epoch: u64) -> Self {
        let Batch { row_ids, keys, .. } = batch;
        Pass { mode: Mode::Train, seed, step, epoch, row_ids, keys }
    }

    /// The pass of using a model: nothing is drawn.
    pub fn inference(batch: &'a Batch) -> Self {
        let Batch { row_ids, keys, .. } = batch;
        Pass { mode: Mode::Infer, seed: 0, step: 0, epoch: 0, row_ids, keys }
    }

    /// Whether this pass learns.
    pub fn is_training(&self) -> bool {
        self.mode == Mode::Train
    }

    /// The random function for `purpose` at this step.
    pub fn philox(&self, purpose: &str) -> Philox {
        Philox::new(self.seed, purpose, self.step)
    }
}
