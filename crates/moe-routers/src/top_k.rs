use moe_core::dispatch::Assignments;
use moe_core::tape::Var;
use moe_core::{Buffer, Real, Visit, VisitMut};

use crate::{
    Cardinality, GateLinear, GateSpec, ParameterSpec, Properties, RouteContext, Router,
    RouterEntry, RouterInfo, Routing, TotalWeight, aux_loss, top_k_indices,
};

/// The sparse gate: the K largest logits of a row, weighted by their softmax (Shazeer and others, 2017, eq. 3-5,
/// without noise, as COMET's experiments run it).
///
/// The mask is by index, so a kept logit that is exactly zero stays; with K = 1 the weight is 1 and the gate gets
/// no gradient from the task.
#[derive(Debug)]
pub struct TopK {
    gate: GateLinear,
    k: usize,
    load_balance: Real,
}

impl TopK {
    /// A gate with fresh weights and `load_balance` as coefficient of the load-balancing loss (0: none).
    ///
    /// # Panics
    /// If K is not in 1..=N.
    pub fn new(spec: &GateSpec, load_balance: Real) -> Self {
        let GateSpec { k, experts, .. } = *spec;
        assert!((1..=experts).contains(&k), "top-{k} of {experts} experts");
        TopK { gate: GateLinear::new(spec), k, load_balance }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "top-k",
            "the K largest gate logits, weighted by their softmax",
            "Shazeer and others: Outrageously large neural networks, ICLR 2017, eq. 3-5",
        )
        .uses_k()
        .with(ParameterSpec::real(
            "load-balance",
            0.0,
            0.0..=1e6,
            "coefficient of the load-balancing loss of the Switch Transformer",
        ));
        RouterEntry::per_gate(info, |spec, parameters| {
            Box::new(TopK::new(spec, parameters.real("load-balance") as Real))
        })
    }
}

impl Router for TopK {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let logits = self.gate.logits(x);
        let values = logits.value();
        let mut experts = Buffer::unspecified(values.rows() * self.k);
        for (row, chosen) in experts.chunks_exact_mut(self.k).enumerate() {
            top_k_indices(values.row(row), chosen);
        }
        let assignments = Assignments::fixed_from_buffer(self.num_experts(), self.k, experts);
        let weights = logits.gather_assigned(&assignments).csr_softmax(&assignments);
        let balance = (cx.pass.is_training() && self.load_balance > 0.0)
            .then(|| aux_loss::load_balance(logits.softmax(), &assignments, self.load_balance));
        let routing = Routing::new(assignments, weights);
        match balance {
            Some(loss) => routing.with_aux_loss(loss),
            None => routing,
        }
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
