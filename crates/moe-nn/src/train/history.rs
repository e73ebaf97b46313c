use moe_routers::RoutingStats;
use moe_routers::telemetry::GateSummary;
use serde::{Deserialize, Serialize};

/// History of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// One record per epoch.
    pub epochs: Vec<EpochRecord>,
    /// Number of the epoch with the best weights, from 1; 0 if no epoch was run.
    pub best_epoch: usize,
    /// Validation loss of that epoch.
    pub best_val_loss: f64,
    /// Number of training steps; for a model with its own [`fit`](crate::Model::fit), the number of passes over the split.
    pub steps: u64,
    /// Seconds spent in training steps, without evaluation.
    pub train_seconds: f64,
    /// Load of the experts in training steps; `None` for a model without gates.
    pub routing: Option<RoutingStats>,
    /// The reason that training ended; `None` before that.
    pub stopped: Option<StopReason>,
}

/// The reason that training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// All epochs were run.
    Epochs,
    /// The validation loss did not improve for too many epochs.
    Patience,
    /// The time limit was reached.
    Time,
    /// The model was fitted by [`Model::fit`](crate::Model::fit).
    Fitted,
}

/// Record of one epoch: a line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Number of steps taken so far.
    pub steps: u64,
    /// Mean over the steps of the epoch of the weighted loss of the tasks, in training mode.
    pub train_loss: f64,
    /// Mean over the steps of the epoch of each term of the loss by name: tasks (weighted), then the auxiliary losses of
    /// each gate, such as `gate 0 load-balance`.
    pub train_terms: Vec<(String, f64)>,
    /// Mean over the steps of the epoch of the joint norm of all gradients, before clipping.
    pub gradient_norm: f64,
    /// Largest joint norm of all gradients in the epoch, before clipping.
    pub largest_gradient_norm: f64,
    /// Trainable parameters whose gradients were zero in the whole epoch.
    pub idle_parameters: Vec<String>,
    /// Weighted loss on the validation split.
    pub val_loss: f64,
    /// Whether the validation loss is the best so far.
    pub is_best: bool,
    /// Mean number of experts per row and gate in training.
    pub experts_per_row: f64,
    /// Routing statistics of each gate in the steps of the epoch.
    pub gates: Vec<GateSummary>,
    /// Seconds since training began, without interruptions.
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

    /// Checks what a saved history has to be so that training can continue from it.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        /// No count of a run is as large; sums of smaller ones do not overflow.
        const MOST: u64 = 1 << 53;
        let load = self.routing.iter().flat_map(|stats| stats.load().iter().copied());
        let rows = self.routing.iter().map(RoutingStats::rows);
        if let Some(count) = load.chain(rows).chain([self.steps]).find(|count| *count > MOST) {
            return Err(format!("has a count of {count}, which no run reaches"));
        }
        let gates = self.epochs.iter().flat_map(|record| &record.gates);
        match gates.into_iter().find(|gate| gate.load_share.len() != gate.weight_share.len()) {
            Some(gate) => {
                Err(format!("has a summary of {} with two numbers of experts", gate.label()))
            }
            None => Ok(()),
        }
    }

    /// Time since training began, without interruptions.
    pub fn seconds(&self) -> f64 {
        self.epochs.last().map_or(0.0, |record| record.seconds)
    }
}
