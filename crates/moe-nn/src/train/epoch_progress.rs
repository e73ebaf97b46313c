use moe_routers::RoutingStats;
use moe_routers::telemetry::GateSummary;
use serde::{Deserialize, Serialize};

use crate::models::model::Model;
use crate::train::gate_health::{self, GateHealth};
use crate::train::gradient_health::GradientHealth;
use crate::train::history::{EpochRecord, History};
use crate::train::memories::Memories;
use crate::train::step::StepReport;

/// Statistics of the steps that an epoch has taken so far: with weights, optimiser and history all that is needed to
/// continue between two steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EpochProgress {
    /// Number of steps of the whole epoch.
    pub(crate) of: u64,
    /// Seconds spent in these steps.
    pub(crate) train_seconds: f64,
    /// Seconds since training began, without interruptions, when the state was last saved.
    pub(crate) seconds: f64,
    /// Sum over the steps of the weighted loss of the tasks.
    loss: f64,
    /// Sum over the steps of each term of the loss by name.
    terms: Vec<(String, f64)>,
    gradients: GradientHealth,
    gates: GateHealth,
}

impl EpochProgress {
    /// An epoch of this number of steps, before the first one.
    pub(crate) fn new(of: u64) -> Self {
        EpochProgress { of, ..EpochProgress::default() }
    }

    /// The only pass of a model that is fitted, with its loss.
    pub(crate) fn fitted(loss: f64, terms: Vec<(String, f64)>, train_seconds: f64) -> Self {
        EpochProgress { loss, terms, train_seconds, ..EpochProgress::default() }
    }

    /// Checks what was saved.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (taken, of) = (self.steps(), self.of);
        if taken > of {
            return Err(format!("is inside an epoch of {of} steps, after step {taken}"));
        }
        let wrong = || "has statistics of gates that do not belong together".into();
        if self.gates.is_sound() { Ok(()) } else { Err(wrong()) }
    }

    /// Number of steps taken; 0 for a model that is fitted.
    pub(crate) fn steps(&self) -> u64 {
        self.gradients.steps
    }

    /// Adds a step. `memories` and `history` remember what outlasts the epoch; row ids are below `rows`.
    pub(crate) fn add(
        &mut self,
        report: StepReport,
        memories: &mut Memories,
        history: &mut History,
        rows: usize,
    ) {
        let StepReport { loss, terms, gradient_norms, row_ids, decisions } = report;
        self.gradients.add(&gradient_norms);
        self.gates.add(&row_ids, &decisions, memories, rows);
        for decision in decisions.iter().flatten() {
            history.routing.get_or_insert_default().add(&decision.assignments);
        }
        self.loss += loss;
        if self.terms.is_empty() {
            self.terms = terms;
        } else {
            self.terms.iter_mut().zip(terms).for_each(|(sum, term)| sum.1 += term.1);
        }
    }

    /// The summary of each gate; see [`GateHealth::summaries`].
    pub(crate) fn gate_summaries(&self, memories: &mut Memories) -> Vec<GateSummary> {
        self.gates.summaries(memories)
    }

    /// The record of the epoch, whose weights `history` already counts as the best if they are. Warns of gradients and gates
    /// that look unhealthy.
    pub(crate) fn into_record(
        self,
        model: &dyn Model,
        history: &History,
        gates: Vec<GateSummary>,
        val_loss: f64,
        seconds: f64,
    ) -> EpochRecord {
        let taken = self.steps();
        let mean = |sum: f64| sum / taken.max(1) as f64;
        let train_terms = self.terms.into_iter().map(|(name, sum)| (name, mean(sum))).collect();
        let (epoch, steps) = (history.epochs.len() + 1, history.steps);
        let is_best = history.best_epoch == epoch;
        let idle_parameters = self.gradients.idle(model);
        self.gradients.warn(epoch, &idle_parameters);
        gate_health::warn(epoch, &gates, history.epochs.last().map(|record| &record.gates[..]));
        EpochRecord {
            epoch,
            steps,
            train_loss: mean(self.loss),
            train_terms,
            gradient_norm: self.gradients.mean(),
            largest_gradient_norm: self.gradients.largest,
            idle_parameters,
            val_loss,
            is_best,
            gates,
            experts_per_row: history.routing.as_ref().map_or(0.0, RoutingStats::experts_per_row),
            seconds,
        }
    }
}
