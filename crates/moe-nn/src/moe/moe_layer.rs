use moe_core::dispatch::ExpertPlan;
use moe_core::smallvec::SmallVec;
use moe_core::tape::{Var, Vars};
use moe_core::{Pass, named_state};
use moe_routers::{GateSet, Observed, Routing, Routings, TrainingLength};

use crate::module::Module;
use crate::moe::experts::Experts;

/// A mixture of experts with G gates that share the experts (Ma and others, "Modeling task relationships in multi-task
/// learning with multi-gate mixture-of-experts", KDD 2018). An expert is computed at most once per row, even if several
/// gates choose it, and not at all for rows that no gate sends to it.
pub struct MoeLayer {
    gates: Box<dyn GateSet>,
    experts: Box<dyn Experts>,
}

impl MoeLayer {
    /// A layer of these gates over these experts.
    ///
    /// # Panics
    /// If gates and experts differ in the number of experts.
    pub fn new(gates: Box<dyn GateSet>, experts: Box<dyn Experts>) -> Self {
        assert_eq!(
            gates.num_experts(),
            experts.num_experts(),
            "the gates route to another number of experts than there are"
        );
        MoeLayer { gates, experts }
    }

    /// Number of gates (G).
    pub fn num_gates(&self) -> usize {
        self.gates.num_gates()
    }

    /// The gates.
    pub fn gates(&self) -> &dyn GateSet {
        &*self.gates
    }

    /// Computes one output per gate, and returns the routing of each gate with them.
    ///
    /// # Shapes
    /// `[B, D]` → G times `[B, O]`
    pub fn forward<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> (Vars<'t>, Routings<'t>) {
        let (tape, mark) = (x.tape(), x.tape().mark());
        let routings = self.gates.route(pass, x);
        let mut kept: SmallVec<[Var<'t>; 8]> = routings.iter().flat_map(Routing::values).collect();
        tape.free_since(mark, &kept);
        let plan = ExpertPlan::shared(routings.len(), |gate| &routings[gate].assignments);
        let slots = self.experts.forward(pass, x, &plan);
        let gates = routings.iter().enumerate();
        let outputs: Vars<'t> =
            gates.map(|(gate, r)| slots.combine(r.weights, &r.assignments, &plan, gate)).collect();
        kept.extend_from_slice(&outputs);
        tape.free_since(mark, &kept);
        (outputs, routings)
    }

    /// Tells the gates the largest number of training steps.
    pub fn begin_training(&mut self, length: TrainingLength) {
        self.gates.begin_training(length);
    }

    /// Passes each gate its observations of a training step.
    pub fn after_step(&mut self, observed: &[Observed]) {
        self.gates.after_step(observed);
    }
}

impl Module for MoeLayer {
    named_state!("gates" => child gates, "experts" => child experts);

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
