use std::sync::Arc;

use moe_core::dispatch::Assignments;
use moe_core::tape::Gradients;
use moe_core::{Buffer, Tensor};
use moe_routers::Observed;

/// What micro-batches contribute to a training step. Sums are over the micro-batches, lists have an entry for each.
#[derive(Debug)]
pub struct Contribution {
    /// Share of the weighted loss of the tasks.
    pub loss: f64,
    /// Share of each term of the loss by name, as in [`StepReport::terms`](crate::StepReport::terms).
    pub terms: Vec<(String, f64)>,
    /// The gradients of these shares.
    pub gradients: Gradients,
    /// What the gates of each MoE layer observed.
    pub observed: Vec<LayerObserved>,
    /// The row ids of each micro-batch.
    pub row_ids: Vec<Buffer<u64>>,
    /// The decision of each gate of each MoE layer, for each micro-batch.
    pub decisions: Vec<Vec<Decision>>,
}

impl Contribution {
    /// Adds the contribution of later micro-batches.
    ///
    /// # Panics
    /// If it is that of another model.
    pub fn add(&mut self, later: Contribution) {
        self.loss += later.loss;
        self.terms.iter_mut().zip(later.terms).for_each(|(sum, term)| sum.1 += term.1);
        self.gradients.accumulate(later.gradients);
        for (all, part) in self.observed.iter_mut().zip(&later.observed) {
            assert_eq!(all.layer, part.layer, "contributions of another model");
            all.gates.iter_mut().zip(&part.gates).for_each(|(all, part)| all.add(part));
        }
        self.row_ids.extend(later.row_ids);
        self.decisions.extend(later.decisions);
    }
}

/// What the gates of an MoE layer observed in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerObserved {
    /// Name of the layer.
    pub layer: Arc<str>,
    /// What [`GateSet::after_step`](moe_routers::GateSet::after_step) will be given.
    pub gates: Vec<Observed>,
}

/// A [`Routing`](moe_routers::Routing) after its tape has been cleared: the arguments of
/// [`GateStats::add`](moe_routers::telemetry::GateStats::add).
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Name of the layer.
    pub layer: Arc<str>,
    /// Index of the gate in the layer.
    pub gate: usize,
    /// Whether the rows are those of the batch; they are not, for example, where each token is a row.
    pub is_of_batch: bool,
    /// The experts of each row.
    pub assignments: Assignments,
    /// `[pairs]`: the weight of each (row, expert) pair.
    pub weights: Tensor,
    /// Values that the router reports, by name.
    pub telemetry: Vec<(&'static str, f64)>,
}
