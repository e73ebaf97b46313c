use moe_core::{Real, dispatch::Assignments, named_state, tape::Var};
use moe_routers::{
    AuxOptions, GateLinear, OptionReader, Properties, RouteContext, Router, RouterEntry,
    RouterInfo, Routing, TotalWeight, top_k_indices,
};

/// Top-p: the fewest experts whose probabilities, the softmax of the gate's logits, add up to `p` (Huang and others,
/// arXiv 2403.07652). Departures: the weights of the chosen experts are divided by their sum, and the gate has a bias.
#[derive(Debug)]
pub struct TopP {
    gate: GateLinear,
    p: Real,
    aux: AuxOptions,
}

impl TopP {
    /// The entry of a registry: id, summary, source and options.
    pub fn entry() -> RouterEntry {
        let (id, summary) = ("top-p", "the fewest experts whose probabilities add up to p");
        let info = RouterInfo::new(id, summary, "Huang and others, 2024, arXiv 2403.07652");
        let read = |options: &mut OptionReader<'_>| {
            let p = options.real("p", 0.5, 0.01..=0.99, "probability that the experts reach");
            (p, AuxOptions::default().read(options, &["entropy"]))
        };
        RouterEntry::with_options(info, read, |spec, (p, aux)| TopP {
            gate: GateLinear::new(spec),
            p,
            aux,
        })
    }
}

impl Router for TopP {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }
    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let logits = self.gate.logits(x);
        let probabilities = logits.softmax().value();
        let rows = (0..probabilities.rows()).map(|row| {
            let row = probabilities.row(row);
            let mut experts = vec![0; row.len()];
            top_k_indices(row, &mut experts);
            let mass = |k: &usize| experts[..*k].iter().map(|&e| row[e as usize]).sum::<Real>();
            experts.truncate((1..row.len()).find(|k| mass(k) >= self.p).unwrap_or(row.len()));
            experts
        });
        let assignments = Assignments::from_rows(self.num_experts(), rows);
        let weights = logits.gather_assigned(&assignments).csr_softmax(&assignments);
        let routing = Routing::new(assignments, weights);
        if cx.pass.is_training() { self.aux.add(routing, logits, None, 1) } else { routing }
    }
    fn properties(&self) -> Properties {
        Properties { total_weight: TotalWeight::One, ..Properties::default() }
    }
    named_state!(flat gate);
}
