use std::sync::Arc;

use moe_core::dispatch::ExpertPlan;
use moe_core::named_state;
use moe_core::smallvec::SmallVec;
use moe_core::tape::{Var, Vars};
use moe_routers::{GateSet, Routing};

use crate::layers::forward::Forward;
use crate::layers::layer::Layer;
use crate::module::{LayerGates, Module};
use crate::moe::experts::Experts;

/// A mixture of experts with G gates that share the experts (Ma and others, "Modeling task relationships in multi-task
/// learning with multi-gate mixture-of-experts", KDD 2018). An expert is computed at most once per row, even if several
/// gates choose it, and not at all for rows that no gate sends to it.
///
/// A layer has a name, such as `encoder.3.moe`: the prefix of its parameters in the model. Under this name it leaves its
/// routings in the [`Forward`] pass; statistics, alarms, inspection and saved runs use it too. A layer with one gate is a
/// [`Layer`]. What a row is depends on the pass: with [`TokenRows`](moe_core::TokenRows) each token is a row of its own.
pub struct MoeLayer {
    name: Arc<str>,
    gates: Box<dyn GateSet>,
    experts: Box<dyn Experts>,
}

impl MoeLayer {
    /// The layer `name` of these gates over these experts.
    ///
    /// # Panics
    /// If gates and experts differ in the number of experts.
    pub fn new(name: &str, gates: Box<dyn GateSet>, experts: Box<dyn Experts>) -> Self {
        assert_eq!(
            gates.num_experts(),
            experts.num_experts(),
            "the gates route to another number of experts than there are"
        );
        MoeLayer { name: name.into(), gates, experts }
    }

    /// Name of the layer.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of gates (G).
    pub fn num_gates(&self) -> usize {
        self.gates.num_gates()
    }

    /// The gates.
    pub fn gates(&self) -> &dyn GateSet {
        &*self.gates
    }

    /// Computes one output per gate, and leaves the routings of the gates in the pass.
    ///
    /// # Shapes
    /// `[B, D]` → G times `[B, O]`
    ///
    /// # Panics
    /// If the rows are not those of the pass, or another layer of this name has left its routings there.
    pub fn forward_gates<'t>(&self, pass: &Forward<'_, 't>, x: Var<'t>) -> Vars<'t> {
        let (tape, mark, of_layer) = (x.tape(), x.tape().mark(), pass.of_next_layer());
        let routings = self.gates.route(&of_layer, x);
        let kept: SmallVec<[Var<'t>; 8]> = routings.iter().flat_map(Routing::values).collect();
        tape.free_since(mark, &kept);
        let plan = ExpertPlan::shared(routings.len(), |gate| &routings[gate].assignments);
        let slots = self.experts.forward(&of_layer, x, &plan);
        let gates = routings.iter().enumerate();
        let outputs: Vars<'t> =
            gates.map(|(gate, r)| slots.combine(r.weights, &r.assignments, &plan, gate)).collect();
        pass.leave(&self.name, x, routings);
        pass.free_since(tape, mark, &outputs);
        outputs
    }
}

/// A layer with one gate.
///
/// # Panics
/// `forward` panics if there are several gates.
impl Layer for MoeLayer {
    fn forward<'t>(&self, pass: &Forward<'_, 't>, x: Var<'t>) -> Var<'t> {
        match self.forward_gates(pass, x)[..] {
            [output] => output,
            ref outputs => panic!("MoE layer {} has {} gates, not one", self.name, outputs.len()),
        }
    }
}

impl Module for MoeLayer {
    named_state!("gates" => child gates, "experts" => child experts);

    fn pack_weights(&mut self) {
        self.experts.pack_weights();
    }

    fn gates_mut(&mut self) -> Vec<LayerGates<'_>> {
        vec![LayerGates { layer: &self.name, gates: &mut self.gates }]
    }
}

impl std::fmt::Debug for MoeLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (gates, experts) = (self.gates.num_gates(), self.experts.num_experts());
        write!(f, "MoeLayer {} of {experts} experts and {gates} gates", self.name)
    }
}
