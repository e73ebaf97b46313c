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

/// The gate that does not route: the same K experts for all rows, the K largest of N logits that are learnt and that no input
/// changes, weighted by their softmax.
///
/// It is the control that shows whether a router routes: what a router gains over it at equal K, it gains by sending different
/// rows to different experts. Each task still has experts of its own choice, as with the static gating of DSelect-k (Hazimeh and
/// others, 2021, section 3; [`DSelectKOptions::is_static`](crate::DSelectKOptions)), where a gate is a function of the task alone.
/// There, more than K experts are in use until the gate has converged; here a gate has K experts in every step of training and at inference, as with [`TopK`](crate::TopK), whose weight
/// matrix is taken away and whose bias is left.
///
/// How the set is learnt: the logits start nearly tied, from U(±0.01). The softmax over the K experts in use raises the logit of
/// those that lower the loss and lowers that of the others by as much; a logit that falls below that of an expert outside the
/// set loses its place to it, so that others are tried until K are left. With K = 1 the only weight is 1, nothing competes,
/// and the expert is the one that was drawn at the start, when all are alike.
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
        /// Nearly tied, so that the set is learnt and not drawn.
        const BOUND: f64 = 0.01;
        let mut rng = chacha(seed, "init.gate", gate as u64);
        StaticGate { bias: Parameter::new(uniform([experts], BOUND, &mut rng)), k }
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
