use moe_core::dispatch::Assignments;
use moe_core::ops::softmax;
use moe_core::tape::Var;
use moe_core::{Real, Tensor, Visit, VisitMut};

use crate::aux_loss::AuxOptions;
use crate::gate::gate_linear::GateLinear;
use crate::registry::parameters::ParameterSpec;
use crate::registry::registry::{GateSpec, RouterEntry, RouterInfo};
use crate::router::{Cardinality, Properties, RouteContext, Router, TotalWeight};
use crate::routing::Routing;
use crate::routing_buf::RoutingBuf;
use crate::scratch::Scratch;

/// The dense gate: every row goes to every expert, with the softmax of the gate logits,
/// divided by a temperature, as weights (Jacobs, Jordan, Nowlan and Hinton, 1991, with temperature 1).
#[derive(Debug)]
pub struct Softmax {
    gate: GateLinear,
    /// Of the trimmed lasso.
    k: usize,
    aux: AuxOptions,
}

impl Softmax {
    /// A gate with fresh weights.
    pub fn new(spec: &GateSpec) -> Self {
        let k = spec.k.min(spec.experts).max(1);
        Softmax { gate: GateLinear::new(spec), k, aux: AuxOptions::default() }
    }

    /// The same gate with its logits divided by `temperature`.
    pub fn with_temperature(self, temperature: Real) -> Self {
        Softmax { gate: self.gate.with_temperature(temperature), ..self }
    }

    /// The same gate with these auxiliary losses. K matters to the trimmed lasso alone; one out of 1..=N
    /// counts as the nearest in it.
    pub fn with_aux(self, aux: AuxOptions) -> Self {
        Softmax { aux, ..self }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "softmax",
            "every expert, weighted by the softmax of the gate logits",
            "Jacobs, Jordan, Nowlan, Hinton: Adaptive mixtures of local experts, 1991",
        )
        .with(ParameterSpec::temperature());
        let info =
            AuxOptions::declare(info, &["importance", "trimmed-lasso", "router-z", "entropy"]);
        RouterEntry::per_gate(info, |spec, parameters| {
            let gate = Softmax::new(spec).with_temperature(parameters.real("temperature") as Real);
            Box::new(gate.with_aux(AuxOptions::read(parameters)))
        })
    }
}

impl Router for Softmax {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let logits = self.gate.logits(x);
        let assignments = Assignments::dense(logits.shape()[0], self.num_experts());
        let weights = logits.gather_assigned(&assignments).csr_softmax(&assignments);
        let routing = Routing::new(assignments, weights);
        if !cx.pass.is_training() {
            return routing;
        }
        self.aux.add(routing, logits, None, self.k)
    }

    fn infer(&self, x: &Tensor, _: &[u64], out: &mut RoutingBuf, _: &mut Scratch) {
        let n = self.num_experts();
        out.set_dense(n, |weights| {
            self.gate.logits_into(x, weights);
            softmax(weights, n);
        });
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
