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
    /// What [`Model::after_step`](crate::Model::after_step) will be given.
    pub observed: Vec<Observed>,
    /// The row ids of each micro-batch.
    pub row_ids: Vec<Buffer<u64>>,
    /// The decision of each gate, for each micro-batch.
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
        self.observed.iter_mut().zip(&later.observed).for_each(|(all, part)| all.add(part));
        self.row_ids.extend(later.row_ids);
        self.decisions.extend(later.decisions);
    }
}

/// A [`Routing`](moe_routers::Routing) after its tape has been cleared: the arguments of
/// [`GateStats::add`](moe_routers::telemetry::GateStats::add).
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The experts of each row.
    pub assignments: Assignments,
    /// `[pairs]`: the weight of each (row, expert) pair.
    pub weights: Tensor,
    /// Values that the router reports, by name.
    pub telemetry: Vec<(&'static str, f64)>,
}
