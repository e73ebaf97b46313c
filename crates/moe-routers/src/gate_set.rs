use moe_core::tape::Var;
use moe_core::{Pass, Tensor, Visit, VisitMut, named, named_mut};

use crate::observed::Observed;
use crate::parts::PartsOfGates;
use crate::properties::Properties;
use crate::route_context::RouteContext;
use crate::router::Router;
use crate::routers::comet::tree_walk::TreeWalk;
use crate::routing::Routings;

/// The G gates of a layer, routed together. Wrappers around gates, such as a permutation that all of them share, wrap a
/// gate set and are one.
///
/// Nothing has a default: a wrapper that does not pass something on does not compile.
pub trait GateSet: Send + Sync {
    /// Number of gates (G).
    fn num_gates(&self) -> usize;

    /// Number of experts (N).
    fn num_experts(&self) -> usize;

    /// Routes B rows: one routing per gate.
    ///
    /// # Shapes
    /// `x` `[B, D]`
    fn route<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Routings<'t>;

    /// The gates as sums of parts; `None` if a gate is not one. A wrapper that changes the sums passes the parts on and
    /// changes the sums in [`GatesOfParts::finish`].
    fn as_parts(&self) -> Option<&dyn GatesOfParts>;

    /// The probabilities of all nodes in the soft trees of each gate; `None` if a gate does not decide by soft trees.
    /// See [`SumOfParts::walk_trees`](crate::SumOfParts::walk_trees).
    ///
    /// # Shapes
    /// `x` `[B, D]`
    fn walk_trees(&self, x: &Tensor) -> Option<Vec<TreeWalk>>;

    /// The promises of each gate.
    fn properties(&self) -> Vec<Properties>;

    /// Reports every parameter and buffer by name.
    fn visit(&self, f: &mut Visit<'_>);

    /// [`GateSet::visit`], writable.
    fn visit_mut(&mut self, f: &mut VisitMut<'_>);

    /// Called before the first training step, and again when training continues, with the longest possible length of
    /// training, for gates that follow a schedule.
    fn begin_training(&mut self, length: TrainingLength);

    /// Called after each training step with what each gate observed.
    fn after_step(&mut self, observed: &[Observed]);
}

/// Gates that are all sums of parts ([`SumOfParts`](crate::SumOfParts)).
///
/// [`GateSet::route`] of such gates is [`GatesOfParts::finish`] of the sums of [`GatesOfParts::route_parts`]. A
/// permutation of the parts comes between the two.
pub trait GatesOfParts {
    /// The parts of each gate.
    ///
    /// # Shapes
    /// `x` `[B, D]`; the parts are `[B, K, N]`.
    fn route_parts<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> PartsOfGates<'t>;

    /// Applies what the gates do to the sums of their parts, such as a limit to the rows of an expert.
    fn finish<'t>(&self, pass: &Pass<'_>, sums: Routings<'t>) -> Routings<'t>;
}

/// The longest possible length of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingLength {
    /// Training steps of an epoch.
    pub steps_per_epoch: u64,
    /// Largest number of epochs.
    pub epochs: u64,
}

/// Independent gates: one router each.
pub struct Gates {
    routers: Vec<Box<dyn Router>>,
}

impl Gates {
    /// A gate set of these routers, gate 0 first.
    ///
    /// # Panics
    /// If there are no routers, or they differ in the number of experts.
    pub fn new(routers: Vec<Box<dyn Router>>) -> Self {
        let experts = routers.first().expect("a layer has at least one gate").num_experts();
        assert!(
            routers.iter().all(|router| router.num_experts() == experts),
            "the gates of a layer share their experts"
        );
        Gates { routers }
    }
}

impl GateSet for Gates {
    fn num_gates(&self) -> usize {
        self.routers.len()
    }

    fn num_experts(&self) -> usize {
        self.routers[0].num_experts()
    }

    fn route<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Routings<'t> {
        let gates = self.routers.iter().enumerate();
        gates.map(|(gate, router)| router.route(&RouteContext { pass: *pass, gate }, x)).collect()
    }

    fn as_parts(&self) -> Option<&dyn GatesOfParts> {
        let are_sums = self.routers.iter().all(|router| router.as_parts().is_some());
        if are_sums { Some(self) } else { None }
    }

    fn walk_trees(&self, x: &Tensor) -> Option<Vec<TreeWalk>> {
        self.routers.iter().map(|router| router.as_parts()?.walk_trees(x)).collect()
    }

    fn properties(&self) -> Vec<Properties> {
        self.routers.iter().map(|router| router.properties()).collect()
    }

    fn visit(&self, f: &mut Visit<'_>) {
        for (gate, router) in self.routers.iter().enumerate() {
            named(&gate.to_string(), f, |f| router.visit(f));
        }
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        for (gate, router) in self.routers.iter_mut().enumerate() {
            named_mut(&gate.to_string(), f, |f| router.visit_mut(f));
        }
    }

    fn begin_training(&mut self, _length: TrainingLength) {}

    fn after_step(&mut self, observed: &[Observed]) {
        for (router, observed) in self.routers.iter_mut().zip(observed) {
            router.after_step(observed);
        }
    }
}

const ARE_SUMS: &str = "every gate is a sum of parts";

impl GatesOfParts for Gates {
    fn route_parts<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> PartsOfGates<'t> {
        let gates = self.routers.iter().enumerate().map(|(gate, router)| {
            let router = router.as_parts().expect(ARE_SUMS);
            router.route_parts(&RouteContext { pass: *pass, gate }, x)
        });
        gates.collect()
    }

    fn finish<'t>(&self, _pass: &Pass<'_>, sums: Routings<'t>) -> Routings<'t> {
        sums
    }
}

impl std::fmt::Debug for Gates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} gates over {} experts", self.num_gates(), self.num_experts())
    }
}
