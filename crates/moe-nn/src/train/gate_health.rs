use moe_core::batch::Batch;
use moe_core::tape::Tape;
use moe_core::{Buffer, Pass};
use moe_routers::telemetry::{GateStats, GateSummary, Thresholds, weight_difference};
use serde::{Deserialize, Serialize};

use crate::models::model::Model;
use crate::train::contribution::Decision;
use crate::train::memories::Memories;
use crate::train::step::StepContext;

/// Routing statistics of the gates over the steps of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct GateHealth {
    gates: Vec<Gate>,
}

/// Statistics of one gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Gate {
    layer: String,
    gate: usize,
    stats: GateStats,
}

impl GateHealth {
    /// Returns whether the statistics of all gates are [sound](GateStats::is_sound).
    pub(crate) fn is_sound(&self) -> bool {
        self.gates.iter().all(|gate| gate.stats.is_sound())
    }

    /// Adds the micro-batches of a step. `memories` remembers the experts of each row, whose ids are below `rows`.
    pub(crate) fn add(
        &mut self,
        row_ids: &[Buffer<u64>],
        decisions: &[Vec<Decision>],
        memories: &mut Memories,
        rows: usize,
    ) {
        for (row_ids, decisions) in row_ids.iter().zip(decisions) {
            for decision in decisions {
                let Decision { layer, gate, assignments, weights, telemetry, .. } = decision;
                self.stats(layer, *gate).add(assignments, weights, telemetry);
                if decision.is_of_batch {
                    memories.of(layer, *gate, rows).add(row_ids, assignments);
                }
            }
        }
    }

    /// The statistics of a gate.
    fn stats(&mut self, layer: &str, gate: usize) -> &mut GateStats {
        let known = self.gates.iter().position(|known| known.layer == layer && known.gate == gate);
        let at = known.unwrap_or_else(|| {
            let (layer, stats) = (layer.to_string(), GateStats::default());
            self.gates.push(Gate { layer, gate, stats });
            self.gates.len() - 1
        });
        &mut self.gates[at].stats
    }

    /// The summary of each gate, in the order in which a pass computes them.
    pub(crate) fn summaries(&self, memories: &mut Memories) -> Vec<GateSummary> {
        let summary = |Gate { layer, gate, stats }: &Gate| GateSummary {
            layer: layer.clone(),
            gate: *gate,
            changed: memories.take_changed(layer, *gate),
            ..stats.summary()
        };
        self.gates.iter().map(summary).collect()
    }
}

/// Sets, for each gate, the difference between its weights for `batch` in training and at inference.
pub(crate) fn set_weight_differences(
    gates: &mut [GateSummary],
    model: &dyn Model,
    batch: &Batch,
    at: &StepContext<'_>,
) {
    let tape = Tape::inference();
    let training = Pass::training(batch, at.seed, at.step, at.epoch);
    let trained = model.run(&tape, &training, &batch.inputs);
    let inferred = model.run(&tape, &Pass::inference(batch), &batch.inputs);
    for ((layer, gate, a), (_, _, b)) in trained.gates().zip(inferred.gates()) {
        let summary = gates.iter_mut().find(|known| *known.layer == **layer && known.gate == gate);
        if let Some(summary) = summary {
            summary.weight_difference = Some(weight_difference(a, b));
        }
    }
}

/// Logs the alarms of the gates that the previous epoch did not raise.
pub(crate) fn warn(epoch: usize, gates: &[GateSummary], before: Option<&[GateSummary]>) {
    let thresholds = Thresholds::default();
    for summary in gates {
        let is_same = |known: &&GateSummary| known.label() == summary.label();
        let known = before.and_then(|gates| gates.iter().find(is_same));
        let known = known.map_or(Vec::new(), |known| known.alarms(&thresholds));
        for alarm in summary.alarms(&thresholds) {
            if known.iter().all(|known| known.name() != alarm.name()) {
                tracing::warn!(epoch, gate = summary.label(), "{alarm}");
            }
        }
    }
}
