use moe_core::tape::Var;
use moe_core::{Real, Tensor, named_state};

use crate::aux_loss::options::AuxOptions;
use crate::aux_loss::{load, load_balance_top1};
use crate::gate::gate_linear::GateLinear;
use crate::gate::select::largest_of_softmax;
use crate::properties::{Cardinality, Properties, TotalWeight};
use crate::registry::entry::RouterEntry;
use crate::registry::info::{GateSpec, RouterInfo};
use crate::registry::option_reader::OptionReader;
use crate::route_context::RouteContext;
use crate::router::Router;
use crate::routing::Routing;

/// Settings of a [`VMoe`] gate; a coefficient of 0 turns a loss off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VMoeOptions {
    /// Standard deviation of the noise, times N.
    pub noise_std: Real,
    /// Coefficient of [`load`](fn@load), a loss that exists only with noise.
    pub load: Real,
    /// Coefficient of [`load_balance_top1`] of the probabilities with noise.
    pub gshard: Real,
    /// Losses of the logits without noise.
    pub aux: AuxOptions,
}

/// As published: noise with standard deviation 1/N, importance and load with 0.005 each.
impl Default for VMoeOptions {
    fn default() -> Self {
        let aux = AuxOptions { importance: 0.005, ..AuxOptions::default() };
        VMoeOptions { noise_std: 1.0, load: 0.005, gshard: 0.0, aux }
    }
}

impl VMoeOptions {
    fn read(options: &mut OptionReader<'_>) -> Self {
        let defaults = VMoeOptions::default();
        VMoeOptions {
            noise_std: options.noise_std(defaults.noise_std),
            load: options.coefficient(
                "load",
                defaults.load,
                "coefficient of the squared coefficient of variation of the experts' expected load; \
                 only with noise",
            ),
            gshard: options.gshard(defaults.gshard),
            aux: defaults.aux.read(options, &AuxOptions::ALL),
        }
    }
}

/// The gate of V-MoE: the K largest of `softmax(x W + n / N)` with standard normal n, not renormalised and without
/// noise outside training (Riquelme and others, Scaling vision with sparse mixture of experts, NeurIPS 2021, section 2
/// and appendix A).
///
/// The noise is a function of the seed, the step, the row's id, the gate and the expert. W starts Glorot-uniform; in
/// the authors' code it starts from LeCun's normal distribution. Their capacity, which serves rows by priority, is that
/// of [`Capacity`](crate::Capacity).
#[derive(Debug)]
pub struct VMoe {
    gate: GateLinear,
    k: usize,
    options: VMoeOptions,
}

impl VMoe {
    /// A gate with initial weights.
    ///
    /// # Panics
    /// If K is not in 1..=N.
    pub fn new(spec: &GateSpec, options: VMoeOptions) -> Self {
        let GateSpec { k, experts, .. } = *spec;
        assert!((1..=experts).contains(&k), "the {k} largest of {experts} experts");
        VMoe { gate: GateLinear::new(spec).without_bias(), k, options }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "v-moe",
            "the K largest softmax probabilities after noise, not renormalised",
            "Riquelme and others: Scaling vision with sparse mixture of experts, NeurIPS 2021, section 2",
        )
        .uses_k();
        RouterEntry::with_options(info, VMoeOptions::read, VMoe::new).with_capacity()
    }

    /// The routing in training for the given noise.
    ///
    /// # Shapes
    /// `x` `[B, D]`, `noise` `[B, N]`
    pub fn route_with_noise<'t>(&self, x: Var<'t>, noise: Tensor) -> Routing<'t> {
        let options = &self.options;
        let std = options.noise_std / self.num_experts() as Real;
        let logits = self.gate.logits(x);
        let noisy =
            if std > 0.0 { logits + x.tape().constant(noise.map(|n| n * std)) } else { logits };
        let p = noisy.softmax();
        let mut routing =
            options.aux.add(largest_of_softmax(noisy, p, self.k), logits, None, self.k);
        if options.load > 0.0 && std > 0.0 {
            routing = routing.with_aux_loss(load(logits, noisy, std, self.k, options.load));
        }
        if options.gshard > 0.0 {
            routing = routing.with_aux_loss(load_balance_top1(p, options.gshard));
        }
        routing
    }
}

impl Router for VMoe {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        if cx.pass.is_training() {
            let shape = [x.shape()[0], self.num_experts()];
            let noise = if self.options.noise_std > 0.0 {
                cx.standard_normals("noise", shape)
            } else {
                Tensor::zeros(shape)
            };
            return self.route_with_noise(x, noise);
        }
        let logits = self.gate.logits(x);
        largest_of_softmax(logits, logits.softmax(), self.k)
    }

    fn properties(&self) -> Properties {
        let is_whole = self.k == self.num_experts();
        let total = if is_whole { TotalWeight::One } else { TotalWeight::AtMostOne };
        Properties::new(Cardinality::Exactly(self.k), total)
    }

    named_state!(flat gate);
}
