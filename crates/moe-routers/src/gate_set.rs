use moe_core::tape::Var;
use moe_core::{Pass, Tensor, Visit, VisitMut, named, named_mut};

use crate::infer::inference_pass;
use crate::{Observed, Properties, RouteContext, Router, Routing, RoutingBuf, Scratch};

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
            let routings = self.route(&inference_pass(keys), tape.constant(x.clone()));
            out.iter_mut().zip(&routings).for_each(|(out, routing)| out.copy_from(routing));
        });
    }

    /// What each gate promises.
    fn properties(&self) -> Vec<Properties>;

    /// Reports every parameter and buffer by name.
    fn visit(&self, f: &mut Visit<'_>);

    /// [`GateSet::visit`], writable.
    fn visit_mut(&mut self, f: &mut VisitMut<'_>);

    /// Called after each training step, with what each gate observed.
    fn after_step(&mut self, observed: &[Observed]);
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

    fn infer(&self, x: &Tensor, keys: &[u64], out: &mut Vec<RoutingBuf>, scratch: &mut Scratch) {
        out.resize_with(self.num_gates(), RoutingBuf::default);
        for (router, out) in self.routers.iter().zip(out) {
            router.infer(x, keys, out, scratch);
        }
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
