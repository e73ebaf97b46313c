use moe_core::dispatch::Assignments;
use moe_core::tape::Var;
use moe_core::{Real, Tensor};

use crate::aux_loss::AuxLoss;

/// What a router decided for B rows.
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
    /// Numbers of this router's own to report, by name.
    pub telemetry: Vec<(&'static str, f64)>,
    /// What [`Router::after_step`](crate::Router::after_step) will be given.
    pub observed: Observed,
}

/// What a routing observed, kept after its tape is gone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// B.
    pub rows: usize,
    /// `[N]`: rows of each expert.
    pub load: Vec<u32>,
    /// Anything else the router's `after_step` wants to see; empty by default.
    pub values: Vec<Real>,
}

impl Observed {
    /// Adds what another part of the batch observed: rows and load are added, the values are averaged by rows.
    ///
    /// # Panics
    /// If it is of another router.
    pub fn add(&mut self, other: &Observed) {
        assert_eq!(self.load.len(), other.load.len(), "observations of another router");
        assert_eq!(self.values.len(), other.values.len(), "observations of another router");
        let rows = self.rows + other.rows;
        let share = other.rows as Real / rows.max(1) as Real;
        for (value, other) in self.values.iter_mut().zip(&other.values) {
            *value += share * (other - *value);
        }
        self.load.iter_mut().zip(&other.load).for_each(|(load, other)| *load += other);
        self.rows = rows;
    }

    /// Adds the load of a gate's own experts, as shares of the rows: for gates inside of something that gives their
    /// experts other numbers, and then takes them back with [`Observed::own`].
    pub fn push_own(&mut self, own_load: &[u32]) {
        let rows = self.rows.max(1) as Real;
        self.values.extend(own_load.iter().map(|&load| load as Real / rows));
    }

    /// What [`Observed::push_own`] was called with: the gate's own load and values, of N experts, where `tail` more
    /// values have been added since.
    ///
    /// # Panics
    /// If there are not so many values.
    pub fn own(&self, experts: usize, tail: usize) -> Observed {
        let values = &self.values[..self.values.len() - tail];
        let (values, shares) = values.split_at(values.len() - experts);
        let load = shares.iter().map(|&share| (share * self.rows as Real).round() as u32);
        Observed { rows: self.rows, load: load.collect(), values: values.to_vec() }
    }
}

impl<'t> Routing<'t> {
    /// A routing without auxiliary losses or telemetry.
    ///
    /// # Panics
    /// If there is not one weight per pair.
    pub fn new(assignments: Assignments, weights: Var<'t>) -> Self {
        let shape = weights.shape();
        assert_eq!(shape[..], [assignments.pairs()], "a routing has one weight per pair");
        let observed =
            Observed { rows: assignments.rows(), load: assignments.load(), values: Vec::new() };
        Routing { assignments, weights, aux_losses: Vec::new(), telemetry: Vec::new(), observed }
    }

    /// With one more term of the loss.
    pub fn with_aux_loss(mut self, loss: AuxLoss<'t>) -> Self {
        self.aux_losses.push(loss);
        self
    }

    /// With one more number to report.
    pub fn with_telemetry(mut self, name: &'static str, value: f64) -> Self {
        self.telemetry.push((name, value));
        self
    }

    /// With values for [`Router::after_step`](crate::Router::after_step).
    pub fn with_observed(mut self, values: Vec<Real>) -> Self {
        self.observed.values = values;
        self
    }

    /// The gate matrix of the papers.
    ///
    /// # Shapes
    /// → `[B, N]`
    pub fn to_dense(&self) -> Tensor {
        self.assignments.to_dense(&self.weights.value())
    }
}
