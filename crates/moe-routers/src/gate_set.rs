use moe_core::kernel::for_each2;
use moe_core::tape::Var;
use moe_core::{Pass, Tensor, Visit, VisitMut, named, named_mut};

use crate::parts::{Parts, PartsBuf};
use crate::router::{Properties, RouteContext, Router};
use crate::routers::comet::tree_walk::TreeWalk;
use crate::routing::{Observed, Routing};
use crate::routing_buf::RoutingBuf;
use crate::scratch::Scratch;

/// The G gates of a layer, routed together. What wraps gates (a permutation shared by all of them) wraps this.
pub trait GateSet: Send + Sync {
    /// G.
    fn num_gates(&self) -> usize;

    /// N.
    fn num_experts(&self) -> usize;

    /// One routing per gate.
    ///
    /// # Shapes
    /// `x` `[B, D]`
    fn route<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Vec<Routing<'t>>;

    /// The parts of each gate, if all gates are sums of parts; see [`Router::route_parts`].
    ///
    /// # Shapes
    /// `x` `[B, D]`
    fn route_parts<'t>(&self, _pass: &Pass<'_>, _x: Var<'t>) -> Option<Vec<Parts<'t>>> {
        None
    }

    /// Routes B rows for use, as [`Router::infer`] does: one buffer per gate in `out`.
    ///
    /// # Shapes
    /// `x` `[B, D]`, B keys
    ///
    /// # Panics
    /// As `route`.
    fn infer(&self, x: &Tensor, keys: &[u64], out: &mut Vec<RoutingBuf>, scratch: &mut Scratch) {
        out.resize_with(self.num_gates(), RoutingBuf::default);
        scratch.with_tape(|tape| {
            let routings = self.route(&Pass::of_keys(keys), tape.constant(x.clone()));
            out.iter_mut().zip(&routings).for_each(|(out, routing)| out.copy_from(routing));
        });
    }

    /// The parts of each gate for use, as [`Router::infer_parts`] gives them; whether all gates are sums of parts.
    ///
    /// # Shapes
    /// `x` `[B, D]`, B keys
    ///
    /// # Panics
    /// As `route_parts`.
    fn infer_parts(
        &self,
        x: &Tensor,
        keys: &[u64],
        out: &mut Vec<PartsBuf>,
        scratch: &mut Scratch,
    ) -> bool {
        scratch.with_tape(|tape| {
            let parts = self.route_parts(&Pass::of_keys(keys), tape.constant(x.clone()));
            let Some(parts) = parts else { return false };
            out.resize_with(parts.len(), PartsBuf::default);
            out.iter_mut().zip(&parts).for_each(|(out, parts)| out.copy_from(parts));
            true
        })
    }

    /// How far rows come in the trees of each gate, if all gates decide by soft trees; see [`Router::walk_trees`].
    ///
    /// # Shapes
    /// `x` `[B, D]`
    fn walk_trees(&self, _x: &Tensor) -> Option<Vec<TreeWalk>> {
        None
    }

    /// What each gate promises.
    fn properties(&self) -> Vec<Properties>;

    /// Reports every parameter and buffer by name.
    fn visit(&self, f: &mut Visit<'_>);

    /// [`GateSet::visit`], writable.
    fn visit_mut(&mut self, f: &mut VisitMut<'_>);

    /// Called before the first training step, and again when training continues, with the longest that it can be: for
    /// what has a schedule.
    fn begin_training(&mut self, _length: TrainingLength) {}

    /// Called after each training step, with what each gate observed.
    fn after_step(&mut self, observed: &[Observed]);
}

/// The longest that training can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingLength {
    /// Training steps of an epoch.
    pub steps_per_epoch: u64,
    /// Largest number of epochs.
    pub epochs: u64,
}

/// Gates that know nothing of each other: one router each.
pub struct Gates {
    routers: Vec<Box<dyn Router>>,
}

impl Gates {
    /// These routers, gate 0 first.
    ///
    /// # Panics
    /// If there is none, or they differ in the number of experts.
    pub fn new(routers: Vec<Box<dyn Router>>) -> Self {
        let experts = routers.first().expect("a layer has at least one gate").num_experts();
        assert!(
            routers.iter().all(|router| router.num_experts() == experts),
            "the gates of a layer share their experts"
        );
        Gates { routers }
    }

    /// The routers.
    pub fn routers(&self) -> &[Box<dyn Router>] {
        &self.routers
    }
}

impl GateSet for Gates {
    fn num_gates(&self) -> usize {
        self.routers.len()
    }

    fn num_experts(&self) -> usize {
        self.routers[0].num_experts()
    }

    fn route<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Vec<Routing<'t>> {
        let gates = self.routers.iter().enumerate();
        gates.map(|(gate, router)| router.route(&RouteContext { pass: *pass, gate }, x)).collect()
    }

    fn route_parts<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Option<Vec<Parts<'t>>> {
        let gates = self.routers.iter().enumerate();
        let parts =
            gates.map(|(gate, router)| router.route_parts(&RouteContext { pass: *pass, gate }, x));
        parts.collect()
    }

    fn infer(&self, x: &Tensor, keys: &[u64], out: &mut Vec<RoutingBuf>, scratch: &mut Scratch) {
        let gates = self.num_gates();
        out.resize_with(gates, RoutingBuf::default);
        scratch.gates.resize_with(gates, Scratch::default);
        let work = x.cols() * self.num_experts();
        for_each2((keys.len(), work), &mut scratch.gates, out, |gate, scratch, out| {
            self.routers[gate].infer(x, keys, out, scratch);
        });
    }

    fn infer_parts(
        &self,
        x: &Tensor,
        keys: &[u64],
        out: &mut Vec<PartsBuf>,
        scratch: &mut Scratch,
    ) -> bool {
        out.resize_with(self.num_gates(), PartsBuf::default);
        let mut gates = self.routers.iter().zip(out);
        gates.all(|(router, out)| router.infer_parts(x, keys, out, scratch))
    }

    fn walk_trees(&self, x: &Tensor) -> Option<Vec<TreeWalk>> {
        self.routers.iter().map(|router| router.walk_trees(x)).collect()
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

    fn after_step(&mut self, observed: &[Observed]) {
        for (router, observed) in self.routers.iter_mut().zip(observed) {
            router.after_step(observed);
        }
    }
}

impl std::fmt::Debug for Gates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} gates over {} experts", self.num_gates(), self.num_experts())
    }
}
