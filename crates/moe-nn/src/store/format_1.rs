//! The state of runs of format 1: moments have no names, and all gates belong to the only MoE layer, `layer`.

use moe_core::envelope::Kind;
use moe_routers::RoutingStats;
use moe_routers::telemetry::{Consistency, GateSummary};
use serde::Deserialize;

use crate::optimizer::optimizer::UnnamedOptimizer;
use crate::train::history::{EpochRecord, History, StopReason};

pub(crate) const STATE_KIND: Kind = Kind { name: "train-state", version: 3 };

#[derive(Deserialize)]
pub(crate) struct State {
    pub(crate) optimizer: UnnamedOptimizer,
    pub(crate) history: StateHistory,
    pub(crate) frozen: Vec<String>,
    pub(crate) memories: Vec<Consistency>,
}

#[derive(Deserialize)]
pub(crate) struct StateHistory {
    epochs: Vec<Epoch>,
    best_epoch: usize,
    best_val_loss: f64,
    steps: u64,
    train_seconds: f64,
    routing: Option<RoutingStats>,
    stopped: Option<StopReason>,
}

#[derive(Deserialize)]
struct Epoch {
    epoch: usize,
    steps: u64,
    train_loss: f64,
    train_terms: Vec<(String, f64)>,
    gradient_norm: f64,
    largest_gradient_norm: f64,
    idle_parameters: Vec<String>,
    val_loss: f64,
    is_best: bool,
    experts_per_row: f64,
    gates: Vec<Gate>,
    seconds: f64,
}

#[derive(Deserialize)]
struct Gate {
    rows: u64,
    experts_per_row: f64,
    share_by_count: Vec<f64>,
    load_share: Vec<f64>,
    load_entropy: f64,
    max_load: f64,
    dead_experts: usize,
    weight_share: Vec<f64>,
    confidence: f64,
    mutual_information: f64,
    top_set: Vec<u32>,
    top_set_share: f64,
    dropped: f64,
    not_finite: u64,
    changed: Option<f64>,
    weight_difference: Option<f64>,
}

impl From<StateHistory> for History {
    fn from(history: StateHistory) -> Self {
        History {
            epochs: history.epochs.into_iter().map(EpochRecord::from).collect(),
            best_epoch: history.best_epoch,
            best_val_loss: history.best_val_loss,
            steps: history.steps,
            train_seconds: history.train_seconds,
            routing: history.routing,
            stopped: history.stopped,
        }
    }
}

impl From<Epoch> for EpochRecord {
    fn from(epoch: Epoch) -> Self {
        let gates = epoch.gates.into_iter().enumerate();
        EpochRecord {
            epoch: epoch.epoch,
            steps: epoch.steps,
            train_loss: epoch.train_loss,
            train_terms: epoch.train_terms,
            gradient_norm: epoch.gradient_norm,
            largest_gradient_norm: epoch.largest_gradient_norm,
            idle_parameters: epoch.idle_parameters,
            val_loss: epoch.val_loss,
            is_best: epoch.is_best,
            experts_per_row: epoch.experts_per_row,
            gates: gates.map(|(index, gate)| gate.summary(index)).collect(),
            seconds: epoch.seconds,
        }
    }
}

impl Gate {
    /// The summary of the gate with this index.
    fn summary(self, gate: usize) -> GateSummary {
        GateSummary {
            layer: "layer".into(),
            gate,
            rows: self.rows,
            experts_per_row: self.experts_per_row,
            share_by_count: self.share_by_count,
            load_share: self.load_share,
            load_entropy: self.load_entropy,
            max_load: self.max_load,
            dead_experts: self.dead_experts,
            weight_share: self.weight_share,
            confidence: self.confidence,
            mutual_information: self.mutual_information,
            top_set: self.top_set,
            top_set_share: self.top_set_share,
            dropped: self.dropped,
            not_finite: self.not_finite,
            changed: self.changed,
            weight_difference: self.weight_difference,
        }
    }
}
