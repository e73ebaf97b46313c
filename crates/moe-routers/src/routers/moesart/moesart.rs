use moe_core::tape::Var;
use moe_core::{Buffer, Real, Tensor, named_state};

use crate::aux_loss::options::AuxOptions;
use crate::gate::gate_linear::GateLinear;
use crate::gate::select::{largest_of_softmax, largest_softmax};
use crate::gate::top_k::top_k_assignments;
use crate::properties::{Cardinality, GradientKind, Properties, TotalWeight};
use crate::registry::entry::RouterEntry;
use crate::registry::info::{GateSpec, RouterInfo};
use crate::registry::option_reader::OptionReader;
use crate::registry::parameters::Choice;
use crate::route_context::{RouteContext, uniforms};
use crate::router::Router;
use crate::routers::moesart::sample::{Drawn, draw};
use crate::routers::moesart::sampled_weights::{Adjustment, sampled_weights};
use crate::routing::Routing;

/// Weights of a [`Moesart`] gate outside training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inference {
    /// As published: the adjustment of [`Adjustment::Zero`] for all K experts, so 1/K each.
    Uniform,
    /// The softmax over the K logits.
    Softmax,
}

impl Choice for Inference {
    const WORDS: &'static [(&'static str, Self)] =
        &[("uniform", Inference::Uniform), ("softmax", Inference::Softmax)];
}

/// Settings of a [`Moesart`] gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MoesartOptions {
    /// Divisor of the logits.
    pub temperature: Real,
    /// Adjustment of the logits of drawn experts.
    pub adjustment: Adjustment,
    /// Whether an expert may be drawn more than once.
    pub replace: bool,
    /// Weights outside training.
    pub inference: Inference,
    /// Whether, with K = 1, the weight is the expert's probability.
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

const K1_FALLBACK: &str = "k1-fallback";

impl MoesartOptions {
    fn read(options: &mut OptionReader<'_>) -> Self {
        let defaults = MoesartOptions::default();
        MoesartOptions {
            temperature: options.temperature(defaults.temperature),
            adjustment: options.choice(
                "adjustment",
                defaults.adjustment,
                "logits of drawn experts that are adjusted by their probability: all but one, all, or none",
            ),
            replace: options.bool(
                "replace",
                defaults.replace,
                "draw with replacement, so that an expert may be drawn more than once",
            ),
            inference: options.choice(
                "inference",
                defaults.inference,
                "weights outside training: 1/K each, or the softmax over the K largest logits",
            ),
            k1_fallback: options.bool(
                K1_FALLBACK,
                defaults.k1_fallback,
                "allow K = 1, where the weight is the expert's probability",
            ),
            aux: defaults.aux.read(options, &AuxOptions::ALL),
        }
    }
}

/// The gate of MOESART: in training, K experts are drawn from `p = softmax((x W + b) / temperature)` without
/// replacement, and their logits are adjusted so that the mean weights are close to p; at inference, the K largest
/// logits are taken.
///
/// Draws are functions of the seed, the step, the row's id and the gate. The gradient is that of the weights with the
/// drawn experts held fixed; none flows through the draw. With `small-random`, the default, it flows through the one
/// kept expert.
///
/// Departures from the authors' code: without replacement, K different experts are always drawn, even if p is one-hot
/// to the last digit; the remaining mass is renormalised exactly.
///
/// K = 1 has no gradient in this form, since the only weight is 1. The registry refuses it unless `k1-fallback` is on:
/// then the weight is the probability p of the drawn expert (of the most probable one at inference), as in the Switch
/// Transformer.
#[derive(Debug)]
pub struct Moesart {
    gate: GateLinear,
    k: usize,
    options: MoesartOptions,
}

impl Moesart {
    /// A gate with initial weights from U(±1/√D), as in the authors' PyTorch code.
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
            "K experts drawn from the softmax of the gate logits, with adjusted weights; at inference the K largest",
            "MOESART: An effective sampling-based router for sparse mixture of experts, submitted to ICLR 2024",
        )
        .uses_k_from(2, K1_FALLBACK);
        RouterEntry::with_options(info, MoesartOptions::read, Moesart::new)
    }

    /// Draws experts by uniform numbers: `uniforms(row, out)` writes K + 1 numbers in [0, 1). For a number u, the first
    /// expert is drawn whose cumulative fraction of the remaining mass is above u; the last number chooses the kept
    /// expert among those drawn, in ascending order.
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

    /// The routing in training for the experts that `choose(logits, probabilities)` draws.
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
        let weights = if self.is_fallback() {
            p.gather_assigned(&assignments)
        } else {
            sampled_weights(logits, p.value(), drawn, options.adjustment, self.k)
        };
        options.aux.add(Routing::new(assignments, weights), logits, Some(p), self.k)
    }

    fn route_largest<'t>(&self, x: Var<'t>) -> Routing<'t> {
        let logits = self.gate.logits(x);
        if self.is_fallback() {
            return largest_of_softmax(logits, logits.softmax(), self.k);
        }
        match self.options.inference {
            Inference::Softmax => largest_softmax(logits, self.k),
            Inference::Uniform => {
                let assignments = top_k_assignments(&logits.value(), self.k);
                let (counts, kept) = (None, Buffer::unspecified(0));
                let drawn = Drawn { assignments: assignments.clone(), counts, kept };
                let p = logits.softmax().value();
                let weights = sampled_weights(logits, p, drawn, Adjustment::Zero, self.k);
                Routing::new(assignments, weights)
            }
        }
    }

    fn is_fallback(&self) -> bool {
        self.k == 1 && self.options.k1_fallback
    }
}

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

    fn properties(&self) -> Properties {
        let (k, is_fallback) = (self.k, self.is_fallback());
        let replace = self.options.replace;
        let cardinality = if replace { Cardinality::AtMost(k) } else { Cardinality::Exactly(k) };
        let total = if is_fallback { TotalWeight::AtMostOne } else { TotalWeight::One };
        let mut properties = Properties::new(cardinality, total);
        // All weights are 1/K, or a multiple of it for an expert that is drawn again.
        if self.options.adjustment == Adjustment::Zero && !is_fallback {
            properties.gradient = GradientKind::None;
        }
        properties
    }

    named_state!(flat gate);
}
