//! How the rows of a run spread over its experts, as results have it.

use moe_nn::{Evaluation, History};
use moe_routers::RoutingStats;
use moe_routers::telemetry::{Alarm, GateSummary, Thresholds, gate_label};
use serde::{Deserialize, Serialize};

/// How rows spread over experts, all gates together. All zeros for a model without gates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoutingResult {
    /// Mean number of experts per row and gate in training steps.
    pub experts_per_row_train: f64,
    /// Mean number of experts per row and gate on the test split.
    pub experts_per_row_eval: f64,
    /// Share of the test rows with at most K experts, mean over the gates.
    pub rows_up_to_k: f64,
    /// Entropy of the experts' load on the test split: 1 balanced, 0 collapsed.
    pub load_entropy: f64,
    /// Largest share of one expert in all (row, expert) pairs of the test split.
    pub max_load: f64,
    /// Number of experts without a row of the test split.
    pub dead_experts: usize,
    /// Mutual information between rows and experts on the test split, mean over the gates: 0 if all rows have the same
    /// weights, 1 if each row goes to one expert and all experts have the same number of rows.
    pub mutual_information: f64,
    /// Share of the test rows that go to the most frequent set of experts, mean over the gates.
    pub top_set_share: f64,
    /// A summary of each gate on the test split.
    pub gates: Vec<GateSummary>,
    /// Alarms of the gates.
    pub alarms: Vec<GateAlarm>,
    /// Agreement of each row's main expert with the planted groups, where the data have them: adjusted Rand index, 1 for
    /// the same partition and about 0 for an unrelated one; mean over the gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjusted_rand_index: Option<f64>,
}

/// An alarm: something that looks wrong with a gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateAlarm {
    /// Name of the gate's layer.
    pub layer: String,
    /// Index of the gate in its layer.
    pub gate: usize,
    /// Name of the alarm, such as `static routing`.
    pub alarm: String,
    /// What the alarm means and what to try.
    pub text: String,
}

impl GateAlarm {
    /// All alarms of a gate.
    pub(crate) fn all(summary: &GateSummary) -> Vec<GateAlarm> {
        let alarms = summary.alarms(&Thresholds::default()).into_iter();
        let of_gate = |alarm: Alarm| GateAlarm {
            layer: summary.layer.clone(),
            gate: summary.gate,
            alarm: alarm.name().to_owned(),
            text: alarm.to_string(),
        };
        alarms.map(of_gate).collect()
    }

    /// Name of the gate in texts.
    pub(crate) fn label(&self) -> String {
        gate_label(&self.layer, self.gate)
    }
}

impl RoutingResult {
    pub(crate) fn new(
        history: &History,
        test: &Evaluation,
        k: usize,
        groups: Option<&[u32]>,
    ) -> Self {
        let Some(stats) = &test.routing else {
            return RoutingResult::default();
        };
        let count = test.gates.len().max(1) as f64;
        let (mut up_to_k, mut information, mut top_set, mut alarms) = (0.0, 0.0, 0.0, Vec::new());
        for summary in &test.gates {
            up_to_k += summary.share_up_to(k);
            information += summary.mutual_information;
            top_set += summary.top_set_share;
            alarms.extend(GateAlarm::all(summary));
        }
        let adjusted_rand_index = groups.map(|groups| {
            let per_row = test.main_experts.iter().filter(|main| main.len() == groups.len());
            let indices = per_row.map(|main| moe_nn::metrics::adjusted_rand_index(main, groups));
            indices.sum::<f64>() / test.main_experts.len() as f64
        });
        let in_training = history.routing.as_ref();
        RoutingResult {
            experts_per_row_train: in_training.map_or(0.0, RoutingStats::experts_per_row),
            experts_per_row_eval: stats.experts_per_row(),
            rows_up_to_k: up_to_k / count,
            load_entropy: stats.load_entropy(),
            max_load: stats.max_load(),
            dead_experts: stats.dead_experts(),
            mutual_information: information / count,
            top_set_share: top_set / count,
            gates: test.gates.clone(),
            alarms,
            adjusted_rand_index,
        }
    }
}
