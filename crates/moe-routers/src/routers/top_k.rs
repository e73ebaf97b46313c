use moe_core::tape::Var;
use moe_core::{Real, Tensor, Visit, VisitMut};

use crate::aux_loss::AuxOptions;
use crate::gate::gate_linear::GateLinear;
use crate::gate::select::largest_softmax;
use crate::gate::select::top_k_assignments;
use crate::registry::registry::{GateSpec, RouterEntry, RouterInfo};
use crate::router::{Cardinality, Properties, RouteContext, Router, TotalWeight};
use crate::routing::Routing;
use crate::routing_buf::RoutingBuf;
use crate::scratch::Scratch;

/// The sparse gate: the K largest logits of a row, weighted by their softmax (Shazeer and others, 2017, eq. 3-5,
/// without noise, as COMET's experiments run it).
///
/// The mask is by index, so a kept logit that is exactly zero stays; with K = 1 the weight is 1 and the gate gets
/// no gradient from the task.
#[derive(Debug)]
pub struct TopK {
    gate: GateLinear,
    k: usize,
    aux: AuxOptions,
}

impl TopK {
    /// A gate with fresh weights and `load_balance` as coefficient of the load-balancing loss (0: none).
    ///
    /// # Panics
    /// If K is not in 1..=N.
    pub fn new(spec: &GateSpec, load_balance: Real) -> Self {
        let GateSpec { k, experts, .. } = *spec;
        assert!((1..=experts).contains(&k), "top-{k} of {experts} experts");
        let aux = AuxOptions { load_balance, ..AuxOptions::default() };
        TopK { gate: GateLinear::new(spec), k, aux }
    }

    /// The same gate with these auxiliary losses.
    pub fn with_aux(self, aux: AuxOptions) -> Self {
        TopK { aux, ..self }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "top-k",
            "the K largest gate logits, weighted by their softmax",
            "Shazeer and others: Outrageously large neural networks, ICLR 2017, eq. 3-5",
        )
        .uses_k();
        let info = AuxOptions::declare_all(info);
        RouterEntry::per_gate(info, |spec, parameters| {
            Box::new(TopK::new(spec, 0.0).with_aux(AuxOptions::read(parameters)))
        })
    }
}

/// The K largest logits of each row, weighted by their softmax.
pub(crate) fn chosen_softmax(logits: Var<'_>, k: usize) -> Routing<'_> {
    let assignments = top_k_assignments(&logits.value(), k);
    let weights = logits.gather_assigned(&assignments).csr_softmax(&assignments);
    Routing::new(assignments, weights)
}

impl Router for TopK {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let logits = self.gate.logits(x);
        let routing = chosen_softmax(logits, self.k);
        if !cx.pass.is_training() {
            return routing;
        }
        self.aux.add(routing, logits, None, self.k)
    }

    fn infer(&self, x: &Tensor, _: &[u64], out: &mut RoutingBuf, scratch: &mut Scratch) {
        self.gate.logits_into(x, &mut scratch.logits);
        largest_softmax(&scratch.logits, self.num_experts(), self.k, out);
    }

    fn properties(&self) -> Properties {
        Properties {
            cardinality: Cardinality::Exactly(self.k),
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
