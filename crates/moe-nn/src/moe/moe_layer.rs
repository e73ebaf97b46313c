use std::sync::Arc;

use moe_core::dispatch::{Assignments, ExpertPlan};
use moe_core::tape::Var;
use moe_core::{Pass, Tensor, Visit, VisitMut, named, named_mut};
use moe_routers::{GateSet, Observed, Routing, TrainingLength};

use crate::module::Module;
use crate::moe::experts::Experts;
use crate::predict::scratch::{ExpertScratch, LayerOutputs};

/// A mixture of experts with G gates that share the experts (Ma and others, "Modeling task relationships in
/// multi-task learning with multi-gate mixture-of-experts", KDD 2018). An expert is computed once for a row,
/// whichever gates chose it, and not at all for rows that no gate sends to it.
pub struct MoeLayer {
    gates: Box<dyn GateSet>,
    experts: Box<dyn Experts>,
}

impl MoeLayer {
    /// These gates over these experts.
    ///
    /// # Panics
    /// If they differ in the number of experts.
    pub fn new(gates: Box<dyn GateSet>, experts: Box<dyn Experts>) -> Self {
        assert_eq!(
            gates.num_experts(),
            experts.num_experts(),
            "the gates choose among another number of experts than there are"
        );
        MoeLayer { gates, experts }
    }

    /// G.
    pub fn num_gates(&self) -> usize {
        self.gates.num_gates()
    }

    /// The gates.
    pub fn gates(&self) -> &dyn GateSet {
        &*self.gates
    }

    /// O.
    pub fn outputs(&self) -> usize {
        self.experts.outputs()
    }

    /// One output per gate, and what each gate decided.
    ///
    /// # Shapes
    /// `[B, D]` → G times `[B, O]`
    pub fn forward<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> (Vec<Var<'t>>, Vec<Routing<'t>>) {
        let routings = self.gates.route(pass, x);
        let assignments: Vec<&Assignments> = routings.iter().map(|r| &r.assignments).collect();
        let plan = Arc::new(ExpertPlan::new(&assignments));
        let slots = self.experts.forward(pass, x, &plan);
        let outputs = routings
            .iter()
            .enumerate()
            .map(|(gate, r)| slots.combine(r.weights, &r.assignments, &plan, gate))
            .collect();
        (outputs, routings)
    }

    /// Routes B rows and computes their experts for use, with the numbers of [`MoeLayer::forward`] in
    /// [`Mode::Infer`](moe_core::Mode::Infer), but without a tape. [`LayerOutputs::combine`] then gives the output of a
    /// gate.
    ///
    /// # Shapes
    /// `x` `[B, D]`, B keys
    pub fn infer(
        &self,
        x: &Tensor,
        keys: &[u64],
        out: &mut LayerOutputs,
        work: &mut ExpertScratch,
    ) {
        let LayerOutputs { routings, plan, slots } = out;
        self.gates.infer(x, keys, routings, &mut work.routing);
        Arc::make_mut(plan).rebuild(self.gates.num_experts(), routings.len(), |gate| {
            (routings[gate].offsets(), routings[gate].experts())
        });
        self.experts.infer(x, keys, plan, slots, work);
    }

    /// Tells the gates how long training can be.
    pub fn begin_training(&mut self, length: TrainingLength) {
        self.gates.begin_training(length);
    }

    /// Passes on what each gate observed in a training step.
    pub fn after_step(&mut self, observed: &[Observed]) {
        self.gates.after_step(observed);
    }
}

impl Module for MoeLayer {
    fn visit(&self, f: &mut Visit<'_>) {
        named("gates", f, |f| self.gates.visit(f));
        named("experts", f, |f| self.experts.visit(f));
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        named_mut("gates", f, |f| self.gates.visit_mut(f));
        named_mut("experts", f, |f| self.experts.visit_mut(f));
    }

    fn pack_weights(&mut self) {
        self.experts.pack_weights();
    }
}

impl std::fmt::Debug for MoeLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (gates, experts) = (self.gates.num_gates(), self.experts.num_experts());
        write!(f, "MoeLayer of {experts} experts and {gates} gates")
    }
}
