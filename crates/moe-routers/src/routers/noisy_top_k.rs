use moe_core::random::{chacha, glorot_uniform};
use moe_core::tape::Var;
use moe_core::{Parameter, Real, Tensor, named_state};

use crate::aux_loss::options::AuxOptions;
use crate::aux_loss::{importance_of_weights, load_with_noise};
use crate::gate::gate_linear::GateLinear;
use crate::gate::select::largest_softmax;
use crate::properties::{Cardinality, Properties, TotalWeight};
use crate::registry::entry::RouterEntry;
use crate::registry::info::{GateSpec, RouterInfo};
use crate::registry::option_reader::OptionReader;
use crate::route_context::RouteContext;
use crate::router::Router;
use crate::routing::Routing;

/// Coefficients of the losses of a [`NoisyTopK`] gate; 0 turns a loss off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NoisyTopKOptions {
    /// Coefficient of [`importance_of_weights`].
    pub importance: Real,
    /// Coefficient of [`load_with_noise`].
    pub load: Real,
    /// Losses of the logits without noise.
    pub aux: AuxOptions,
}

impl NoisyTopKOptions {
    fn read(options: &mut OptionReader<'_>) -> Self {
        let defaults = NoisyTopKOptions::default();
        NoisyTopKOptions {
            importance: options.coefficient(
                "importance",
                defaults.importance,
                "coefficient of the squared coefficient of variation of the experts' total weight",
            ),
            load: options.coefficient(
                "load",
                defaults.load,
                "coefficient of the squared coefficient of variation of the experts' expected load",
            ),
            aux: defaults
                .aux
                .read(options, &["load-balance", "trimmed-lasso", "router-z", "entropy"]),
        }
    }
}

/// The sparse gate with learnt noise: the K largest of `x W + b + n ⊙ softplus(x V)`, weighted by their softmax, with
/// standard normal n; no noise outside training (Shazeer and others, 2017, eq. 3-5, with the bias of COMET's code).
///
/// The noise is a function of the seed, the step, the row's id, the gate and the expert. The gradient flows through the
/// logits and through the size of the noise. W and V start Glorot-uniform as in COMET's code; in the paper they start
/// at zero.
#[derive(Debug)]
pub struct NoisyTopK {
    gate: GateLinear,
    /// V, `[D, N]`
    noise_weight: Parameter,
    k: usize,
    options: NoisyTopKOptions,
}

impl NoisyTopK {
    /// A gate with initial weights.
    ///
    /// # Panics
    /// If K is not in 1..=N.
    pub fn new(spec: &GateSpec, options: NoisyTopKOptions) -> Self {
        let GateSpec { k, experts, inputs, .. } = *spec;
        assert!((1..=experts).contains(&k), "top-{k} of {experts} experts");
        let mut rng = chacha(spec.seed, "init.gate.noise", spec.gate as u64);
        let noise_weight = glorot_uniform([inputs, experts], inputs, experts, &mut rng);
        NoisyTopK {
            gate: GateLinear::new(spec),
            noise_weight: Parameter::new(noise_weight),
            k,
            options,
        }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "noisy-top-k",
            "the K largest gate logits after learnt noise, weighted by their softmax",
            "Shazeer and others: Outrageously large neural networks, ICLR 2017, eq. 3-11",
        )
        .uses_k();
        RouterEntry::with_options(info, NoisyTopKOptions::read, NoisyTopK::new).with_capacity()
    }

    /// The routing in training for the given noise.
    ///
    /// # Shapes
    /// `x` `[B, D]`, `noise` `[B, N]`
    pub fn route_with_noise<'t>(&self, x: Var<'t>, noise: Tensor) -> Routing<'t> {
        let (tape, options) = (x.tape(), &self.options);
        let logits = self.gate.logits(x);
        let noise_std = x.matmul(tape.parameter(&self.noise_weight)).softplus();
        let noisy = logits + tape.constant(noise) * noise_std;
        let mut routing = largest_softmax(noisy, self.k);
        if options.importance > 0.0 {
            let (weights, assignments) = (routing.weights, &routing.assignments);
            let loss = importance_of_weights(weights, assignments, options.importance);
            routing = routing.with_aux_loss(loss);
        }
        if options.load > 0.0 {
            let loss = load_with_noise(logits, noisy, noise_std, self.k, options.load);
            routing = routing.with_aux_loss(loss);
        }
        options.aux.add(routing, logits, None, self.k)
    }
}

impl Router for NoisyTopK {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        if !cx.pass.is_training() {
            return largest_softmax(self.gate.logits(x), self.k);
        }
        let shape = [x.shape()[0], self.num_experts()];
        self.route_with_noise(x, cx.standard_normals("noise", shape))
    }

    fn properties(&self) -> Properties {
        Properties::new(Cardinality::Exactly(self.k), TotalWeight::One)
    }

    named_state!(flat gate, "noise" => parameter noise_weight);
}
