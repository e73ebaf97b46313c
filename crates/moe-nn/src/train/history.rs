use moe_routers::RoutingStats;
use moe_routers::telemetry::GateSummary;
use serde::{Deserialize, Serialize};

/// What training did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// One record per epoch.
    pub epochs: Vec<EpochRecord>,
    /// The epoch whose weights the model has now, from 1; 0 if no epoch was run.
    pub best_epoch: usize,
    /// Its validation loss.
    pub best_val_loss: f64,
    /// Training steps taken; passes over the part for a model that is fitted by a rule of its own.
    pub steps: u64,
    /// Time spent in training steps, without evaluation.
    pub train_seconds: f64,
    /// Spread of rows over experts in training steps; `None` for a model without gates.
    pub routing: Option<RoutingStats>,
    /// Why training ended; `None` before that.
    pub stopped: Option<StopReason>,
}

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// All epochs were run.
    Epochs,
    /// The validation loss has not become better for long enough.
    Patience,
    /// The time was up.
    Time,
    /// The model has been fitted by a rule of its own ([`Model::fit`](crate::Model::fit)).
    Fitted,
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
    /// Mean over the epoch's steps of the norm of all gradients together, before clipping.
    pub gradient_norm: f64,
    /// The largest of them.
    pub largest_gradient_norm: f64,
    /// Parameters that were to learn and had no gradient but zero in the whole epoch.
    pub idle_parameters: Vec<String>,
    /// Weighted loss on the validation part.
    pub val_loss: f64,
    /// Whether it is the best so far.
    pub is_best: bool,
    /// Experts per row and gate in training.
    pub experts_per_row: f64,
    /// How each gate routed in the steps of the epoch.
    pub gates: Vec<GateSummary>,
    /// Time since training began.
    pub seconds: f64,
}

impl History {
    pub(crate) fn new() -> Self {
        History {
            epochs: Vec::new(),
            best_epoch: 0,
            best_val_loss: f64::INFINITY,
            steps: 0,
            train_seconds: 0.0,
            routing: None,
            stopped: None,
        }
    }

    /// Time since training began, interruptions left out.
    pub fn seconds(&self) -> f64 {
        self.epochs.last().map_or(0.0, |record| record.seconds)
    }
}
