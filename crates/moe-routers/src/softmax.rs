use moe_core::dispatch::Assignments;
use moe_core::tape::Var;
use moe_core::{Visit, VisitMut};

use crate::{
    Cardinality, GateLinear, GateSpec, Properties, RouteContext, Router, RouterEntry, RouterInfo,
    Routing, TotalWeight,
};

/// The dense gate: every row goes to every expert, with the softmax of the gate logits as weights
/// (Jacobs, Jordan, Nowlan and Hinton, 1991).
#[derive(Debug)]
pub struct Softmax {
    gate: GateLinear,
}

impl Softmax {
    /// A gate with fresh weights.
    pub fn new(spec: &GateSpec) -> Self {
        Softmax { gate: GateLinear::new(spec) }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "softmax",
            "every expert, weighted by the softmax of the gate logits",
            "Jacobs, Jordan, Nowlan, Hinton: Adaptive mixtures of local experts, 1991",
        );
        RouterEntry::per_gate(info, |spec, _| Box::new(Softmax::new(spec)))
    }
}

impl Router for Softmax {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, _cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let logits = self.gate.logits(x);
        let assignments = Assignments::dense(logits.shape()[0], self.num_experts());
        let weights = logits.gather_assigned(&assignments).csr_softmax(&assignments);
        Routing::new(assignments, weights)
    }

    fn properties(&self) -> Properties {
        Properties {
            cardinality: Cardinality::Exactly(self.num_experts()),
            total_weight: TotalWeight::One,
            ..Properties::default()
        }
    }

    fn visit(&self, f: &mut Visit<'_>) {
        self.gate.visit(f);
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        self.gate.visit_mut(f);
    }
}
