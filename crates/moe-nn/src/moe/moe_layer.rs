use std::sync::Arc;

use moe_core::dispatch::{Assignments, ExpertPlan};
use moe_core::tape::Var;
use moe_core::{Pass, Tensor, named_state, ops};
use moe_routers::{GateSet, Observed, Routing, RoutingBuf, TrainingLength};

use crate::module::Module;
use crate::moe::experts::{ExpertScratch, Experts};

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

    /// Routes B rows and computes their experts without a tape, to the values of [`MoeLayer::forward`] in
    /// [`Mode::Infer`](moe_core::Mode::Infer). [`LayerOutputs::combine`] then computes the output of a gate.
    ///
    /// # Shapes
    /// `x` `[B, D]`, B keys
    pub(crate) fn infer(
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

/// The result of [`MoeLayer::infer`], in reusable memory.
#[derive(Debug, Default)]
pub(crate) struct LayerOutputs {
    /// The routing of each gate.
    routings: Vec<RoutingBuf>,
    plan: Arc<ExpertPlan>,
    /// `[S, O]`: the output of every slot.
    slots: Tensor,
}

impl LayerOutputs {
    /// Computes the output of the layer for a gate.
    ///
    /// # Shapes
    /// → `[B, O]`
    ///
    /// # Panics
    /// If there is no such gate.
    pub(crate) fn combine(&self, gate: usize, out: &mut Tensor) {
        let (routing, slots) = (&self.routings[gate], &self.slots);
        out.resize([routing.rows(), slots.cols()]);
        let pair_slots = self.plan.pair_slots(gate);
        ops::combine(slots, routing.weights(), routing.offsets(), pair_slots, out.as_mut_slice());
    }
}
