use moe_core::tape::Var;
use moe_core::{Real, named_state};

use crate::aux_loss::options::AuxOptions;
use crate::gate::gate_linear::GateLinear;
use crate::gate::select::largest_softmax;
use crate::properties::{Cardinality, Properties, TotalWeight};
use crate::registry::entry::RouterEntry;
use crate::registry::info::{GateSpec, RouterInfo};
use crate::route_context::RouteContext;
use crate::router::Router;
use crate::routing::Routing;

/// The sparse gate: the K largest logits of a row, weighted by their softmax (Shazeer and others, 2017, eq. 3-5,
/// without noise, as in COMET's experiments).
///
/// Logits are selected by index, so a selected logit that is exactly zero stays. With K = 1 the weight is 1 and the
/// gate gets no gradient from the task.
#[derive(Debug)]
pub struct TopK {
    gate: GateLinear,
    k: usize,
    aux: AuxOptions,
}

impl TopK {
    /// A gate with initial weights and `load_balance` as coefficient of the load-balancing loss (0: none).
    ///
    /// # Panics
    /// If K is not in 1..=N.
    pub fn new(spec: &GateSpec, load_balance: Real) -> Self {
        let GateSpec { k, experts, .. } = *spec;
        assert!((1..=experts).contains(&k), "top-{k} of {experts} experts");
        let aux = AuxOptions { load_balance, ..AuxOptions::default() };
        TopK { gate: GateLinear::new(spec), k, aux }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "top-k",
            "the K largest gate logits, weighted by their softmax",
            "Shazeer and others: Outrageously large neural networks, ICLR 2017, eq. 3-5",
        )
        .uses_k();
        let entry = RouterEntry::with_options(
            info,
            |options| AuxOptions::default().read(options, &AuxOptions::ALL),
            |spec, aux| TopK { aux, ..TopK::new(spec, 0.0) },
        );
        entry.with_capacity()
    }
}

impl Router for TopK {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let logits = self.gate.logits(x);
        let routing = largest_softmax(logits, self.k);
        if !cx.pass.is_training() {
            return routing;
        }
        self.aux.add(routing, logits, None, self.k)
    }

    fn properties(&self) -> Properties {
        Properties::new(Cardinality::Exactly(self.k), TotalWeight::One)
    }

    named_state!(flat gate);
}
