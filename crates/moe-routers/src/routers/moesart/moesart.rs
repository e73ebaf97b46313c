use moe_core::ops::softmax;
use moe_core::tape::Var;
use moe_core::{Buffer, Real, Tensor, Visit, VisitMut};

use crate::aux_loss::AuxOptions;
use crate::gate::gate_linear::GateLinear;
use crate::gate::select::top_k_assignments;
use crate::gate::select::{largest_of_softmax, largest_softmax};
use crate::registry::parameters::ParameterSpec;
use crate::registry::registry::{GateSpec, RouterEntry, RouterInfo};
use crate::router::{Cardinality, Properties, RouteContext, Router, TotalWeight};
use crate::routers::moesart::sample::Drawn;
use crate::routers::moesart::sample::{draw, uniforms};
use crate::routers::moesart::sampled_weights::Adjustment;
use crate::routers::moesart::sampled_weights::{adjusted, sampled_weights, weigh};
use crate::routing::Routing;
use crate::routing_buf::RoutingBuf;
use crate::scratch::Scratch;

/// Weights of a [`Moesart`] gate outside training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inference {
    /// As published: the adjustment of [`Adjustment::Zero`] for all K, so 1/K each.
    Uniform,
    /// The softmax over the K logits.
    Softmax,
}

/// Settings of a [`Moesart`] gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MoesartOptions {
    /// What the logits are divided by.
    pub temperature: Real,
    /// Of the logits of drawn experts.
    pub adjustment: Adjustment,
    /// Whether an expert may be drawn more than once.
    pub replace: bool,
    /// Weights outside training.
    pub inference: Inference,
    /// With K = 1, whether the weight is the expert's probability.
    pub k1_fallback: bool,
    /// Auxiliary losses, of which the trimmed lasso is MOESART's own.
    pub aux: AuxOptions,
}

/// As published.
impl Default for MoesartOptions {
    fn default() -> Self {
        MoesartOptions {
            temperature: 1.0,
            adjustment: Adjustment::SmallRandom,
            replace: false,
            inference: Inference::Uniform,
            k1_fallback: false,
            aux: AuxOptions::default(),
        }
    }
}

/// The gate of MOESART: in training K experts are drawn from `p = softmax((x W + b) / temperature)`, without
/// replacement, and their logits adjusted so that the mean weights are close to p; in use the K largest logits.
///
/// Draws are functions of the seed, the step, the row's id and the gate. The gradient is that of the weights for the
/// drawn experts held fixed; there is none through the draw. With `small-random`, the default, it flows through the one
/// kept expert.
///
/// Where this departs from the authors' code: always K different experts are drawn without replacement, also where
/// p is one-hot to the last digit; the remaining mass is renormalised exactly.
///
/// K = 1 has no gradient in this form: the only weight is 1. The registry refuses it, unless `k1-fallback` is on: then
/// the weight is the probability p of the drawn expert (the likeliest, in use), as in the Switch Transformer.
#[derive(Debug)]
pub struct Moesart {
    gate: GateLinear,
    k: usize,
    options: MoesartOptions,
}

impl Moesart {
    /// A gate with fresh weights from U(±1/√D), as in the authors' PyTorch code.
    ///
    /// # Panics
    /// If K is not in 1..=N.
    pub fn new(spec: &GateSpec, options: MoesartOptions) -> Self {
        let GateSpec { k, experts, .. } = *spec;
        assert!((1..=experts).contains(&k), "{k} of {experts} experts");
        let gate = GateLinear::torch(spec).with_temperature(options.temperature);
        Moesart { gate, k, options }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "moesart",
            "K experts drawn from the softmax of the gate logits, with adjusted weights; the K largest in use",
            "MOESART: An effective sampling-based router for sparse mixture of experts, submitted to ICLR 2024",
        )
        .uses_k_from(2, K1_FALLBACK)
        .with(ParameterSpec::temperature())
        .with(ParameterSpec::one_of(
            "adjustment",
            "small-random",
            &["small-random", "zero", "large"],
            "of the logits of drawn experts: all but one by their probability, all, or none",
        ))
        .with(ParameterSpec::bool("replace", false, "an expert may be drawn more than once"))
        .with(ParameterSpec::one_of(
            "inference",
            "uniform",
            &["uniform", "softmax"],
            "weights outside training: 1/K each, or the softmax over the K largest logits",
        ))
        .with(ParameterSpec::bool(
            K1_FALLBACK,
            false,
            "allows K = 1, where the weight is the expert's probability",
        ));
        RouterEntry::per_gate(AuxOptions::declare_all(info), |spec, parameters| {
            let options = MoesartOptions {
                temperature: parameters.real("temperature") as Real,
                adjustment: match parameters.text("adjustment") {
                    "small-random" => Adjustment::SmallRandom,
                    "zero" => Adjustment::Zero,
                    _ => Adjustment::Large,
                },
                replace: parameters.bool("replace"),
                inference: match parameters.text("inference") {
                    "uniform" => Inference::Uniform,
                    _ => Inference::Softmax,
                },
                k1_fallback: parameters.bool(K1_FALLBACK),
                aux: AuxOptions::read(parameters),
            };
            Box::new(Moesart::new(spec, options))
        })
    }

    /// The experts that uniform numbers lead to: `uniforms(row, out)` writes K + 1 numbers in [0, 1). Of a number u a
    /// draw takes the first expert whose cumulative share of the remaining mass is above u; the last number
    /// chooses the kept expert among those drawn, in ascending order.
    ///
    /// # Shapes
    /// `logits` and their softmax `probabilities` `[B, N]`
    pub fn draw(
        &self,
        logits: &Tensor,
        probabilities: &Tensor,
        uniforms: impl Fn(usize, &mut [Real]) + Send + Sync,
    ) -> Drawn {
        draw(logits, probabilities.clone(), self.k, self.options.replace, uniforms)
    }

    /// The routing of training, for the experts that `choose(logits, probabilities)` draws.
    ///
    /// # Shapes
    /// `x` `[B, D]`; `choose` is given the logits and their softmax `[B, N]`
    pub fn route_drawn<'t>(
        &self,
        x: Var<'t>,
        choose: impl FnOnce(&Tensor, &Tensor) -> Drawn,
    ) -> Routing<'t> {
        let options = &self.options;
        let logits = self.gate.logits(x);
        let p = logits.softmax();
        let drawn = choose(&logits.value(), &p.value());
        let assignments = drawn.assignments.clone();
        let weights = match self.is_fallback() {
            true => p.gather_assigned(&assignments),
            false => sampled_weights(logits, p.value(), drawn, options.adjustment, self.k),
        };
        options.aux.add(Routing::new(assignments, weights), logits, Some(p), self.k)
    }

    fn route_largest<'t>(&self, x: Var<'t>) -> Routing<'t> {
        let logits = self.gate.logits(x);
        let assignments = top_k_assignments(&logits.value(), self.k);
        let weights = if self.is_fallback() {
            logits.softmax().gather_assigned(&assignments)
        } else if self.options.inference == Inference::Softmax {
            logits.gather_assigned(&assignments).csr_softmax(&assignments)
        } else {
            let p = logits.softmax().value();
            let drawn = Drawn {
                assignments: assignments.clone(),
                counts: None,
                kept: Buffer::unspecified(0),
            };
            sampled_weights(logits, p, drawn, Adjustment::Zero, self.k)
        };
        Routing::new(assignments, weights)
    }

    fn is_fallback(&self) -> bool {
        self.k == 1 && self.options.k1_fallback
    }
}

const K1_FALLBACK: &str = "k1-fallback";

impl Router for Moesart {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        if !cx.pass.is_training() {
            return self.route_largest(x);
        }
        let (philox, row_ids) = (cx.philox("draw"), cx.pass.row_ids);
        assert_eq!(row_ids.len(), x.shape()[0], "moesart: one id per row");
        self.route_drawn(x, |logits, p| {
            self.draw(logits, p, |row, out| uniforms(philox, row_ids[row], out))
        })
    }

    fn infer(&self, x: &Tensor, _: &[u64], out: &mut RoutingBuf, scratch: &mut Scratch) {
        let n = self.num_experts();
        let Scratch { logits, hidden: p, .. } = scratch;
        self.gate.logits_into(x, logits);
        if self.is_fallback() {
            largest_of_softmax(logits, n, self.k, out);
        } else if self.options.inference == Inference::Softmax {
            largest_softmax(logits, n, self.k, out);
        } else {
            out.set_largest(logits, n, self.k);
            p.clear();
            p.extend_from_slice(logits);
            softmax(p, n);
            out.for_rows(|row, experts, weights| {
                let row = row * n..(row + 1) * n;
                let p = &p[row.clone()];
                weigh(&logits[row], experts, weights, |pair, v| {
                    adjusted(v, 1.0, p[experts[pair] as usize])
                });
            });
        }
    }

    fn properties(&self) -> Properties {
        Properties {
            cardinality: match self.options.replace {
                true => Cardinality::AtMost(self.k),
                false => Cardinality::Exactly(self.k),
            },
            total_weight: match self.is_fallback() {
                true => TotalWeight::AtMostOne,
                false => TotalWeight::One,
            },
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
