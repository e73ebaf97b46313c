use moe_core::Tensor;
use moe_core::dispatch::Assignments;
use moe_core::smallvec::SmallVec;
use moe_core::tape::Var;

use crate::aux_loss::aux_loss::AuxLoss;
use crate::observed::Observed;

/// The routings of the gates of a layer. Up to four take no memory from the heap.
pub type Routings<'t> = SmallVec<[Routing<'t>; 4]>;

/// The decision of a router for B rows.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub struct Routing<'t> {
    /// The experts of each row.
    pub assignments: Assignments,
    /// `[pairs]`: the weight of each (row, expert) pair.
    pub weights: Var<'t>,
    /// Terms that the router adds to the loss.
    pub aux_losses: Vec<AuxLoss<'t>>,
    /// Further numbers that the router reports, by name.
    pub telemetry: SmallVec<[(&'static str, f64); 1]>,
    /// The observation that [`Router::after_step`](crate::Router::after_step) will be given. Nothing is observed on a tape
    /// that does not record.
    pub observed: Observed,
}

impl<'t> Routing<'t> {
    /// A routing without auxiliary losses or telemetry.
    ///
    /// # Panics
    /// If there is not one weight per pair.
    pub fn new(assignments: Assignments, weights: Var<'t>) -> Self {
        let shape = weights.shape();
        assert_eq!(shape[..], [assignments.pairs()], "a routing has one weight per pair");
        let observed = match weights.tape().is_recording() {
            true => Observed::of_load(assignments.rows(), assignments.load()),
            false => Observed::default(),
        };
        let (aux_losses, telemetry) = (Vec::new(), SmallVec::new());
        Routing { assignments, weights, aux_losses, telemetry, observed }
    }

    /// Adds a term of the loss.
    pub fn with_aux_loss(mut self, loss: AuxLoss<'t>) -> Self {
        self.aux_losses.push(loss);
        self
    }

    /// Adds a number to report.
    pub fn with_telemetry(mut self, name: &'static str, value: f64) -> Self {
        self.telemetry.push((name, value));
        self
    }

    /// Sets the values that [`Router::after_step`](crate::Router::after_step) will be given; see [`Observed::values`].
    pub fn with_observed(mut self, values: Tensor) -> Self {
        self.observed.values = Some(values);
        self
    }

    /// Replaces the experts and weights by those of `other`, and the load with them; losses, telemetry and observed
    /// values stay.
    pub fn redirect(&mut self, other: Routing<'t>) {
        self.observed.load = other.observed.load;
        (self.assignments, self.weights) = (other.assignments, other.weights);
    }

    /// The weights and the auxiliary losses: what a tape has to keep of the router's computation.
    pub fn values(&self) -> impl Iterator<Item = Var<'t>> {
        [self.weights].into_iter().chain(self.aux_losses.iter().map(|loss| loss.value))
    }

    /// The gate matrix of the papers.
    ///
    /// # Shapes
    /// → `[B, N]`
    pub fn to_dense(&self) -> Tensor {
        self.assignments.to_dense(&self.weights.value())
    }
}
