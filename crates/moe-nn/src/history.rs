use moe_core::Tensor;
use moe_routers::RoutingStats;
use serde::{Deserialize, Serialize};

use crate::{Adam, AdamOptions, Module};

/// What training did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// One record per epoch.
    pub epochs: Vec<EpochRecord>,
    /// The epoch whose weights the model has now, from 1; 0 if no epoch was run.
    pub best_epoch: usize,
    /// Its validation loss.
    pub best_val_loss: f64,
    /// Training steps taken.
    pub steps: u64,
    /// Time spent in training steps, without evaluation.
    pub train_seconds: f64,
    /// Spread of rows over experts in training steps; `None` for a model without gates.
    pub routing: Option<RoutingStats>,
}

/// What happened in one epoch: a line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    /// Steps taken so far.
    pub steps: u64,
    /// Mean over the epoch's steps of the weighted loss of the tasks, in training mode.
    pub train_loss: f64,
    /// Mean over the epoch's steps of each term of the loss by name: tasks (weighted), then the auxiliary losses of
    /// each gate, such as `gate 0 load-balance`.
    pub train_terms: Vec<(String, f64)>,
    /// Weighted loss on the validation part.
    pub val_loss: f64,
    /// Whether it is the best so far.
    pub is_best: bool,
    /// Experts per row and gate in training.
    pub experts_per_row: f64,
    /// Time since training began.
    pub seconds: f64,
}

impl History {
    fn new() -> Self {
        History {
            epochs: Vec::new(),
            best_epoch: 0,
            best_val_loss: f64::INFINITY,
            steps: 0,
            train_seconds: 0.0,
            routing: None,
        }
    }
}

/// Everything that training is between two epochs: saved and loaded, it continues to the same bits.
///
/// All random draws are functions of the seed, the step and the row, so there is no generator to save.
#[derive(Debug, Serialize, Deserialize)]
pub struct TrainState {
    pub(crate) adam: Adam,
    /// Weights and buffers after the last epoch, in the order of the model's visit.
    pub(crate) last: Vec<Tensor>,
    /// Those of the best epoch.
    pub(crate) best: Vec<Tensor>,
    pub(crate) history: History,
}

impl TrainState {
    /// Before the first epoch.
    pub fn new(module: &dyn Module, adam: AdamOptions) -> Self {
        TrainState {
            adam: Adam::new(adam),
            last: module.snapshot(),
            best: module.snapshot(),
            history: History::new(),
        }
    }

    /// What has been done so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Whether the weights are those of a module like this one.
    pub fn fits(&self, module: &dyn Module) -> bool {
        let shapes = |tensors: &[Tensor]| tensors.iter().map(|t| *t.shape()).collect::<Vec<_>>();
        let wanted = shapes(&module.snapshot());
        shapes(&self.last) == wanted && shapes(&self.best) == wanted
    }

    /// Puts the weights after the last epoch into `module`.
    ///
    /// # Panics
    /// If the state does not fit the module.
    pub fn restore_last(&self, module: &mut dyn Module) {
        module.restore(&self.last);
    }
}
