use moe_core::Real;

use crate::optimizer::options::OptimizerOptions;

/// Settings of a training run.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// Seed of shuffles and of all random draws in training.
    pub seed: u64,
    /// Number of rows per batch (B).
    pub batch_rows: usize,
    /// Number of rows per micro-batch, for batches that do not fit into memory (see [`train_step`](crate::train_step)).
    pub micro_batch_rows: Option<usize>,
    /// Largest number of epochs.
    pub epochs: usize,
    /// Number of epochs without a better validation loss after which training stops.
    pub patience: usize,
    /// Training time in seconds, including the time before an interruption. Training stops after the epoch that reaches it.
    pub max_seconds: Option<f64>,
    /// Weight of the loss of each task.
    pub task_weights: Vec<Real>,
    /// Settings of the optimiser.
    pub optimizer: OptimizerOptions,
}

impl Default for TrainOptions {
    /// The settings of COMET for a single task: batches of 512 rows and a patience of 25 epochs.
    fn default() -> Self {
        TrainOptions {
            seed: 0,
            batch_rows: 512,
            micro_batch_rows: None,
            epochs: 100,
            patience: 25,
            max_seconds: None,
            task_weights: vec![1.0],
            optimizer: OptimizerOptions::default(),
        }
    }
}
