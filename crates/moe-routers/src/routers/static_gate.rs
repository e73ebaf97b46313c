use moe_core::random::{chacha, uniform};
use moe_core::tape::Var;
use moe_core::{Parameter, Tensor, named_state};

use crate::gate::select::largest_softmax;
use crate::properties::{Cardinality, Properties, TotalWeight};
use crate::registry::entry::RouterEntry;
use crate::registry::info::{GateSpec, RouterInfo};
use crate::route_context::RouteContext;
use crate::router::Router;
use crate::routing::Routing;

/// STATIC_DOC
#[derive(Debug)]
pub struct StaticGate {
    /// `[N]`
    bias: Parameter,
    k: usize,
}

impl StaticGate {
    /// A gate with initial logits.
    ///
    /// # Panics
    /// If K is not in 1..=N.
    pub fn new(spec: &GateSpec) -> Self {
        let GateSpec { k, experts, seed, gate, .. } = *spec;
        assert!((1..=experts).contains(&k), "static: {k} of {experts} experts");
        let bound: f64 = std::env::var("STATIC_BOUND").map_or(0.01, |t| t.parse().unwrap());
        let mut rng = chacha(seed, "init.gate", gate as u64);
        StaticGate { bias: Parameter::new(uniform([experts], bound, &mut rng)), k }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "static",
            "the same K experts for all rows, chosen by logits that no input changes",
            "Hazimeh and others: DSelect-k, NeurIPS 2021, static gating, with the selection of top-k",
        )
        .uses_k();
        RouterEntry::per_gate(info, |spec, _| Box::new(StaticGate::new(spec)))
    }
}

impl Router for StaticGate {
    fn num_experts(&self) -> usize {
        self.bias.value().len()
    }

    fn route<'t>(&self, _cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        let tape = x.tape();
        let zeros = tape.constant(Tensor::zeros([x.shape()[0], self.num_experts()]));
        largest_softmax(zeros + tape.parameter(&self.bias), self.k)
    }

    fn properties(&self) -> Properties {
        Properties::new(Cardinality::Exactly(self.k), TotalWeight::One)
    }

    named_state!("bias" => parameter bias);
}
