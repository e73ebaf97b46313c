use moe_core::dispatch::Assignments;
use moe_core::tape::Var;
use moe_core::{Real, named_state};

use crate::aux_loss::options::AuxOptions;
use crate::gate::gate_linear::GateLinear;
use crate::properties::{Cardinality, Properties, TotalWeight};
use crate::registry::entry::RouterEntry;
use crate::registry::info::{GateSpec, RouterInfo};
use crate::route_context::RouteContext;
use crate::router::Router;
use crate::routing::Routing;

/// The dense gate: every row goes to every expert, weighted by the softmax of the gate logits divided by a temperature
/// (Jacobs, Jordan, Nowlan and Hinton, 1991, with temperature 1).
#[derive(Debug)]
pub struct Softmax {
    gate: GateLinear,
    /// K of the trimmed lasso.
    k: usize,
    aux: AuxOptions,
}

impl Softmax {
    /// A gate with initial weights. Its logits are divided by `temperature`. K only matters for the trimmed lasso; if
    /// it is not in 1..=N, the nearest K that is counts.
    pub fn new(spec: &GateSpec, temperature: Real, aux: AuxOptions) -> Self {
        let k = spec.k.min(spec.experts).max(1);
        Softmax { gate: GateLinear::new(spec).with_temperature(temperature), k, aux }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "softmax",
            "every expert, weighted by the softmax of the gate logits",
            "Jacobs, Jordan, Nowlan, Hinton: Adaptive mixtures of local experts, 1991",
        );
        RouterEntry::with_options(
            info,
            |options| {
                let losses = ["importance", "trimmed-lasso", "router-z", "entropy"];
                (options.temperature(1.0), AuxOptions::default().read(options, &losses))
            },
            |spec, (temperature, aux)| Softmax::new(spec, temperature, aux),
        )
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

    fn properties(&self) -> Properties {
        Properties::new(Cardinality::Exactly(self.num_experts()), TotalWeight::One)
    }

    named_state!(flat gate);
}
