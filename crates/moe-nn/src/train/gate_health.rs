use moe_core::Pass;
use moe_core::batch::Batch;
use moe_core::tape::Tape;
use moe_routers::telemetry::{Consistency, GateStats, GateSummary, Thresholds, weight_difference};

use crate::models::model::Model;
use crate::train::step::{Decision, StepContext};

/// How the gates route in the steps of an epoch.
#[derive(Debug, Default)]
pub(crate) struct GateHealth {
    stats: Vec<GateStats>,
}

impl GateHealth {
    /// Adds a step. `memories` has one memory of rows per gate, made here for ids below `rows` if there is none yet.
    pub(crate) fn add(
        &mut self,
        parts: &[Batch],
        decisions: &[Vec<Decision>],
        memories: &mut Vec<Consistency>,
        rows: usize,
    ) {
        for (part, decisions) in parts.iter().zip(decisions) {
            self.stats.resize_with(decisions.len(), GateStats::default);
            memories.resize_with(decisions.len(), || Consistency::for_rows(rows));
            let gates = self.stats.iter_mut().zip(memories.iter_mut());
            for ((stats, memory), decision) in gates.zip(decisions) {
                stats.add(&decision.assignments, &decision.weights, &decision.telemetry);
                memory.add(&part.row_ids, &decision.assignments);
            }
        }
    }

    /// What the epoch was like, gate by gate.
    pub(crate) fn summaries(&self, memories: &mut [Consistency]) -> Vec<GateSummary> {
        let gates = self.stats.iter().zip(memories);
        gates
            .map(|(stats, memory)| GateSummary {
                changed: memory.take_changed(),
                ..stats.summary()
            })
            .collect()
    }
}

/// For each gate, how far its weights for `batch` in training are from those in use.
pub(crate) fn weight_differences(
    model: &dyn Model,
    batch: &Batch,
    at: &StepContext<'_>,
) -> Vec<f64> {
    let tape = Tape::inference();
    let training = Pass::training(batch, at.seed, at.step, at.epoch);
    let trained = model.forward(&tape, &training, &batch.inputs).routings;
    let used = model.forward(&tape, &Pass::inference(batch), &batch.inputs).routings;
    trained.iter().zip(&used).map(|(a, b)| weight_difference(a, b)).collect()
}

/// Says what looks wrong with the gates and did not in the epoch before.
pub(crate) fn warn(epoch: usize, gates: &[GateSummary], before: Option<&[GateSummary]>) {
    let thresholds = Thresholds::default();
    for (gate, summary) in gates.iter().enumerate() {
        let known = before.map_or(Vec::new(), |gates| gates[gate].alarms(&thresholds));
        for alarm in summary.alarms(&thresholds) {
            if known.iter().all(|known| known.name() != alarm.name()) {
                tracing::warn!(epoch, gate, "{alarm}");
            }
        }
    }
}
