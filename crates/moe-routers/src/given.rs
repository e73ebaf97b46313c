use moe_core::dispatch::Assignments;
use moe_core::tape::Var;
use moe_core::{Pass, Tensor, Visit, VisitMut};

use crate::gate_set::{GateSet, GatesOfParts, TrainingLength};
use crate::observed::Observed;
use crate::properties::{Cardinality, GradientKind, Properties, TotalWeight};
use crate::routers::comet::tree_walk::TreeWalk;
use crate::routing::{Routing, Routings};

/// Gates that route the rows of one batch as they were told, whatever the rows are: with them in the place of the gates of a
/// layer, a model shows what it would have predicted with other experts.
#[derive(Clone, Debug)]
pub struct GivenGates {
    gates: Vec<(Assignments, Tensor)>,
}

impl GivenGates {
    /// Gates with these assignments and weights, gate 0 first.
    ///
    /// # Shapes
    /// The weights of a gate are `[pairs]`.
    ///
    /// # Panics
    /// If there are no gates, they differ in the number of rows or experts, or there is not one weight per pair.
    pub fn new(gates: Vec<(Assignments, Tensor)>) -> Self {
        let size = |assignments: &Assignments| (assignments.rows(), assignments.num_experts());
        let first = size(&gates.first().expect("a layer has at least one gate").0);
        for (assignments, weights) in &gates {
            assert_eq!(size(assignments), first, "rows and experts of the gates of a layer");
            assert_eq!(weights.shape()[..], [assignments.pairs()], "one weight per pair");
        }
        GivenGates { gates }
    }
}

impl GateSet for GivenGates {
    fn num_gates(&self) -> usize {
        self.gates.len()
    }

    fn num_experts(&self) -> usize {
        self.gates[0].0.num_experts()
    }

    /// # Panics
    /// If the rows are not as many as those of the routings.
    fn route<'t>(&self, _pass: &Pass<'_>, x: Var<'t>) -> Routings<'t> {
        let of_gate = |(assignments, weights): &(Assignments, Tensor)| {
            assert_eq!(x.shape()[0], assignments.rows(), "rows of the given routing");
            Routing::new(assignments.clone(), x.tape().constant(weights.clone()))
        };
        self.gates.iter().map(of_gate).collect()
    }

    fn as_parts(&self) -> Option<&dyn GatesOfParts> {
        None
    }

    fn walk_trees(&self, _x: &Tensor) -> Option<Vec<TreeWalk>> {
        None
    }

    fn properties(&self) -> Vec<Properties> {
        let given = Properties {
            row_wise: false,
            gradient: GradientKind::None,
            ..Properties::new(Cardinality::Any, TotalWeight::Any)
        };
        vec![given; self.gates.len()]
    }

    fn visit(&self, _f: &mut Visit<'_>) {}

    fn visit_mut(&mut self, _f: &mut VisitMut<'_>) {}

    fn begin_training(&mut self, _length: TrainingLength) {}

    fn after_step(&mut self, _observed: &[Observed]) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use moe_core::tape::Tape;

    fn given() -> GivenGates {
        let first = (Assignments::from_rows(3, [vec![0, 2], vec![1]]), vec![0.25, 0.75, 1.0]);
        let second = (Assignments::from_rows(3, [vec![2], vec![]]), vec![0.5]);
        let gates = [first, second].map(|(a, w)| (a, Tensor::new([w.len()], w)));
        GivenGates::new(gates.to_vec())
    }

    #[test]
    fn they_route_as_given() {
        let tape = Tape::inference();
        let routings = given().route(&Pass::of_keys(&[7, 8]), tape.constant(Tensor::zeros([2, 4])));
        let dense: Vec<Vec<_>> =
            routings.iter().map(|routing| routing.to_dense().as_slice().to_vec()).collect();
        assert_eq!(dense[0], [0.25, 0.0, 0.75, 0.0, 1.0, 0.0]);
        assert_eq!(dense[1], [0.0, 0.0, 0.5, 0.0, 0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "rows of the given routing")]
    fn other_rows_are_refused() {
        let tape = Tape::inference();
        let _ = given().route(&Pass::of_keys(&[7]), tape.constant(Tensor::zeros([1, 4])));
    }

    #[test]
    #[should_panic(expected = "one weight per pair")]
    fn a_weight_belongs_to_each_pair() {
        GivenGates::new(vec![(Assignments::from_rows(3, [[0, 1]]), Tensor::zeros([1]))]);
    }
}
