use moe_core::kernel::{for_row_blocks, sum_axis};
use moe_core::random::{chacha, uniform};
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Parameter, Real, StateMut, StateRef, Tensor, Visit, VisitMut, named, named_mut};

use crate::gate::gate_linear::GateLinear;
use crate::gate::part_losses::{EntropyForm, entropy, reachability};
use crate::gate::smooth_step::SmoothStep;
use crate::parts::Parts;
use crate::properties::{Cardinality, Properties, TotalWeight};
use crate::registry::entry::RouterEntry;
use crate::registry::info::{GateSpec, RouterInfo};
use crate::registry::option_reader::OptionReader;
use crate::route_context::RouteContext;
use crate::router::Router;
use crate::routers::dselect_k::binary_codes::BinaryCodes;
use crate::routing::Routing;
use crate::sum_of_parts::SumOfParts;

/// Settings of a [`DSelectK`] gate.
#[derive(Clone, Copy, Debug)]
pub struct DSelectKOptions {
    /// Width over which a bit of a code is soft (γ).
    pub gamma: Real,
    /// Coefficient of the entropy of the selectors, which drives their bits to decide.
    pub entropy: Real,
    /// Coefficient (ζ) of the term that keeps selectors away from codes without an expert.
    pub reachability: Real,
    /// Whether one selection, learnt directly, serves all rows, instead of one computed from each row.
    pub is_static: bool,
}

impl Default for DSelectKOptions {
    /// γ = 1, an entropy coefficient of 0.1 and ζ = 1, per row.
    fn default() -> Self {
        DSelectKOptions { gamma: 1.0, entropy: 0.1, reachability: 1.0, is_static: false }
    }
}

impl DSelectKOptions {
    fn read(options: &mut OptionReader<'_>) -> Self {
        let defaults = DSelectKOptions::default();
        DSelectKOptions {
            gamma: options.real(
                "gamma",
                defaults.gamma,
                1e-6..=1e6,
                "width over which a bit of a code is soft",
            ),
            entropy: options.coefficient(
                "entropy",
                defaults.entropy,
                "coefficient of the entropy of the selectors",
            ),
            reachability: options.coefficient(
                "reachability",
                defaults.reachability,
                "coefficient of the term against codes without an expert, where N is not a power of two",
            ),
            is_static: options.bool(
                "static",
                defaults.is_static,
                "learn one selection for all rows",
            ),
        }
    }
}

/// The differentiable gate that selects K experts by their binary codes (Hazimeh and others: DSelect-k, NeurIPS 2021),
/// with the terms of the code that COMET was compared with.
///
/// Each of K selectors gives expert j the product of the smooth-steps of the bits of j; a softmax weighs the selectors.
/// A row goes to any number of experts up to N. A saturated selector has one expert left, so once all selectors are
/// saturated the row goes to at most K experts.
///
/// If N is not a power of two, some codes belong to no expert. Weight on them is lost, as published: the weights of a
/// row sum to at most one, and a row may even have no expert. In training, a term of the loss keeps selectors away from
/// them.
#[derive(Debug)]
pub struct DSelectK {
    gate: Gate,
    codes: BinaryCodes,
    options: DSelectKOptions,
}

#[derive(Debug)]
enum Gate {
    /// The logits of the bits `[D, K bits]` and of the selectors `[D, K]` are computed from each row.
    PerRow { code: GateLinear, selector: GateLinear },
    /// The logits are the same for all rows: `[1, K bits]` and `[1, K]`.
    Static { code: Parameter, selector: Parameter },
}

impl DSelectK {
    /// A gate with initial weights: codes from U(±γ/100), so that they start undecided, and selectors from U(±0.05).
    ///
    /// # Panics
    /// If there are no selectors or no experts, γ is not positive and finite, or a coefficient is negative.
    pub fn new(spec: &GateSpec, options: DSelectKOptions) -> Self {
        let GateSpec { inputs, experts, k, .. } = *spec;
        assert!(k > 0 && experts > 0, "{k} selectors over {experts} experts");
        let DSelectKOptions { gamma, entropy, reachability, is_static } = options;
        assert!(
            entropy >= 0.0 && reachability >= 0.0,
            "entropy coefficient {entropy}, reachability coefficient {reachability}"
        );
        let codes = BinaryCodes { selectors: k, experts, step: SmoothStep::new(gamma) };
        let mut code_rng = chacha(spec.seed, "init.dselect-k.code", spec.gate as u64);
        let mut selector_rng = chacha(spec.seed, "init.dselect-k.selector", spec.gate as u64);
        let (bits, bound) = (k * codes.bits(), f64::from(gamma) / 100.0);
        let gate = if is_static {
            Gate::Static {
                code: Parameter::new(uniform([1, bits], bound, &mut code_rng)),
                selector: Parameter::new(uniform([1, k], 0.05, &mut selector_rng)),
            }
        } else {
            Gate::PerRow {
                code: GateLinear::uniform(inputs, bits, bound, &mut code_rng),
                selector: GateLinear::uniform(inputs, k, 0.05, &mut selector_rng),
            }
        };
        DSelectK { gate, codes, options }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "dselect-k",
            "K selectors that learn the binary codes of experts",
            "Hazimeh and others: DSelect-k, differentiable selection in the mixture of experts with applications \
             to multi-task learning, NeurIPS 2021",
        )
        .uses_k();
        RouterEntry::with_options(info, DSelectKOptions::read, DSelectK::new)
    }
}

impl SumOfParts for DSelectK {
    /// The weights that each selector gives, and in training the terms of the loss, which treat a static selection as a
    /// batch of one row.
    fn route_parts<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Parts<'t> {
        let tape = x.tape();
        let (code, selector) = match &self.gate {
            Gate::PerRow { code, selector } => (code.row_sparse_logits(x), selector.logits(x)),
            Gate::Static { code, selector } => (tape.parameter(code), tape.parameter(selector)),
        };
        let selected = self.codes.weights(code);
        let mut weights = tape.apply(ScaleParts, &[selector.softmax(), selected]);
        if self.options.is_static {
            weights = tape.apply(RepeatRow(x.shape()[0]), &[weights]);
        }
        let mut aux_losses = Vec::new();
        if cx.pass.is_training() && self.options.entropy > 0.0 {
            aux_losses.push(entropy(selected, EntropyForm::Shifted, self.options.entropy));
        }
        let loses_weight = !self.num_experts().is_power_of_two();
        if cx.pass.is_training() && self.options.reachability > 0.0 && loses_weight {
            aux_losses.push(reachability(selected, self.options.reachability));
        }
        Parts { weights, aux_losses, renormalise: false }
    }
}

impl Router for DSelectK {
    fn num_experts(&self) -> usize {
        self.codes.experts
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        self.route_parts(cx, x).into_routing()
    }

    fn as_parts(&self) -> Option<&dyn SumOfParts> {
        Some(self)
    }

    fn properties(&self) -> Properties {
        let n = self.num_experts();
        let total = if n.is_power_of_two() { TotalWeight::One } else { TotalWeight::AtMostOne };
        Properties::new(Cardinality::AtMost(n), total)
    }

    fn visit(&self, f: &mut Visit<'_>) {
        match &self.gate {
            Gate::PerRow { code, selector } => {
                named("code", f, |f| code.visit(f));
                named("selector", f, |f| selector.visit(f));
            }
            Gate::Static { code, selector } => {
                f("code", StateRef::Parameter(code));
                f("selector", StateRef::Parameter(selector));
            }
        }
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        match &mut self.gate {
            Gate::PerRow { code, selector } => {
                named_mut("code", f, |f| code.visit_mut(f));
                named_mut("selector", f, |f| selector.visit_mut(f));
            }
            Gate::Static { code, selector } => {
                f("code", StateMut::Parameter(code));
                f("selector", StateMut::Parameter(selector));
            }
        }
    }
}

/// Multiplies each part, a row of `cols` columns, by its factor.
fn scale_parts(parts: &mut [Real], cols: usize, factors: &[Real]) {
    for_row_blocks(parts, cols, |first, block| {
        for (part, factor) in block.chunks_exact_mut(cols).zip(&factors[first..]) {
            part.iter_mut().for_each(|w| *w *= factor);
        }
    });
}

/// Each part times its factor: `[B, K]`, `[B, K, N]` → `[B, K, N]`.
struct ScaleParts;

impl Operator for ScaleParts {
    fn name(&self) -> &'static str {
        "scale_parts"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let mut out = inputs[1].clone();
        scale_parts(out.as_mut_slice(), inputs[1].cols(), inputs[0].as_slice());
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let [factors, parts] = [at.inputs[0], at.inputs[1]];
        gradients.add(
            0,
            Tensor::from_fn(*factors.shape(), |part| {
                let products = parts.row(part).iter().zip(at.cotangent.row(part));
                products.map(|(w, d)| w * d).sum()
            }),
        );
        gradients.add(1, ScaleParts.forward(&[factors, &at.cotangent]));
    }
}

/// The only row, repeated B times: `[1, K, N]` → `[B, K, N]`.
struct RepeatRow(usize);

impl Operator for RepeatRow {
    fn name(&self) -> &'static str {
        "repeat_row"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let row = inputs[0];
        let mut out = Tensor::unspecified([self.0, row.shape()[1], row.shape()[2]]);
        for copy in out.as_mut_slice().chunks_exact_mut(row.len()) {
            copy.copy_from_slice(row.as_slice());
        }
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut sum = Tensor::zeros(*at.inputs[0].shape());
        let (all, each) = (at.cotangent.len(), sum.len());
        sum_axis(at.cotangent.as_slice(), all / each, each, sum.as_mut_slice());
        gradients.add(0, sum);
    }
}
