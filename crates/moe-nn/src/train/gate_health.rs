use moe_core::batch::Batch;
use moe_core::tape::Tape;
use moe_core::{Buffer, Pass};
use moe_routers::telemetry::{Consistency, GateStats, GateSummary, Thresholds, weight_difference};

use crate::models::model::Model;
use crate::train::contribution::Decision;
use crate::train::step::StepContext;

/// Routing statistics of the gates over the steps of an epoch.
#[derive(Debug, Default)]
pub(crate) struct GateHealth {
    stats: Vec<GateStats>,
}

impl GateHealth {
    /// Adds the micro-batches of a step. `memories` remembers the experts of each row, one entry per gate; missing entries are added, for row ids
    /// below `rows`.
    pub(crate) fn add(
        &mut self,
        row_ids: &[Buffer<u64>],
        decisions: &[Vec<Decision>],
        memories: &mut Vec<Consistency>,
        rows: usize,
    ) {
        for (row_ids, decisions) in row_ids.iter().zip(decisions) {
            self.stats.resize_with(decisions.len(), GateStats::default);
            memories.resize_with(decisions.len(), || Consistency::for_rows(rows));
            let gates = self.stats.iter_mut().zip(memories.iter_mut());
            for ((stats, memory), decision) in gates.zip(decisions) {
                stats.add(&decision.assignments, &decision.weights, &decision.telemetry);
                memory.add(row_ids, &decision.assignments);
            }
        }
    }

    /// The statistics of each gate.
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

/// For each gate, the difference between its weights for `batch` in training and at inference.
pub(crate) fn weight_differences(
    model: &dyn Model,
    batch: &Batch,
    at: &StepContext<'_>,
) -> Vec<f64> {
    let tape = Tape::inference();
    let training = Pass::training(batch, at.seed, at.step, at.epoch);
    let trained = model.forward(&tape, &training, &batch.inputs).routings;
    let inferred = model.forward(&tape, &Pass::inference(batch), &batch.inputs).routings;
    trained.iter().zip(&inferred).map(|(a, b)| weight_difference(a, b)).collect()
}

/// Logs the alarms of the gates that the previous epoch did not raise.
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
