use moe_core::dispatch::Assignments;
use moe_core::tape::Var;
use moe_core::{Real, Visit, VisitMut};
use moe_routers::{
    AuxLoss, GateLinear, ParameterSpec, Properties, RouteContext, Router, RouterEntry, RouterInfo,
    Routing, TotalWeight, top_k_indices,
};

/// Top-p, or dynamic-k: the fewest experts whose probabilities, P = softmax of the gate logits, add up to `p`
/// (Huang and others, "Harder tasks need more experts: dynamic routing in MoE models", 2024, arXiv 2403.07652).
/// A row that the gate is sure about costs one expert, an unclear one several.
///
/// A flat P would engage p N experts. Against that the paper adds the entropy -Σ_j P_j log P_j to the loss; here it is
/// the mean over the rows times `entropy`.
///
/// Departures: the weights of the chosen experts are divided by their sum (the authors' code takes P as it is), and
/// the gate has a bias.
#[derive(Debug)]
pub struct TopP {
    gate: GateLinear,
    p: Real,
    entropy: Real,
}

impl TopP {
    /// What a registry needs to know.
    pub fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "top-p",
            "the fewest experts whose probabilities add up to p",
            "Huang and others: Harder tasks need more experts, arXiv 2403.07652",
        )
        .with(ParameterSpec::real("p", 0.5, 0.01..=0.99, "probability that the experts reach"))
        .with(ParameterSpec::real(
            "entropy",
            0.0,
            0.0..=1e6,
            "coefficient of the entropy loss",
        ));
        RouterEntry::per_gate(info, |spec, parameters| {
            let [p, entropy] = ["p", "entropy"].map(|name| parameters.real(name) as Real);
            Box::new(TopP { gate: GateLinear::new(spec), p, entropy })
        })
    }

    /// The fewest experts that reach p; of equal probabilities the earlier.
    fn choose(&self, probabilities: &[Real]) -> Vec<u32> {
        let (mut experts, mut reached) = (vec![0; probabilities.len()], 0.0);
        top_k_indices(probabilities, &mut experts);
        experts.retain(|&expert| {
            let before = reached;
            reached += probabilities[expert as usize];
            before < self.p
        });
        experts
    }
}

impl Router for TopP {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let logits = self.gate.logits(x);
        let probabilities = logits.softmax();
        let values = probabilities.value();
        let rows = (0..values.rows()).map(|row| self.choose(values.row(row)));
        let assignments = Assignments::from_rows(self.num_experts(), rows);
        // P over the chosen, divided by its sum, is the softmax of their logits.
        let weights = logits.gather_assigned(&assignments).csr_softmax(&assignments);
        let mut routing = Routing::new(assignments, weights);
        if cx.pass.is_training() && self.entropy > 0.0 {
            // -log P as a constant leaves the gradient that of the entropy: Σ_j P_j d(log P_j) = d(Σ_j P_j) = 0.
            let factor = self.entropy / values.rows().max(1) as Real;
            let surprise = values.map(|p| -factor * p.max(Real::MIN_POSITIVE).ln());
            let value = (probabilities * x.tape().constant(surprise)).sum();
            routing = routing.with_aux_loss(AuxLoss { name: "entropy", value });
        }
        routing
    }

    fn properties(&self) -> Properties {
        // Any number of experts and an exact gradient are the defaults.
        Properties { total_weight: TotalWeight::One, ..Properties::default() }
    }

    fn visit(&self, f: &mut Visit<'_>) {
        self.gate.visit(f);
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        self.gate.visit_mut(f);
    }
}
