use moe_core::tape::Var;
use moe_core::{Real, Tensor, Visit, VisitMut};

use crate::aux_loss::AuxOptions;
use crate::aux_loss::{load, load_balance_top1};
use crate::gate::gate_linear::GateLinear;
use crate::gate::select::largest_of_softmax;
use crate::gate::select::top_k_assignments;
use crate::registry::parameters::{ParameterSpec, Value};
use crate::registry::registry::{GateSpec, RouterEntry, RouterInfo};
use crate::router::{Cardinality, Properties, RouteContext, Router, TotalWeight};
use crate::routing::Routing;
use crate::routing_buf::RoutingBuf;
use crate::scratch::Scratch;

/// Settings of a [`VMoe`] gate; a coefficient of 0 is no loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VMoeOptions {
    /// Standard deviation of the noise times N.
    pub noise_std: Real,
    /// Coefficient of [`load`](fn@load), which there is only with noise.
    pub load: Real,
    /// Coefficient of [`load_balance_top1`] of the probabilities with noise.
    pub gshard: Real,
    /// Losses of the logits without noise.
    pub aux: AuxOptions,
}

/// As published: noise of deviation 1/N, importance and load with 0.005 each.
impl Default for VMoeOptions {
    fn default() -> Self {
        let aux = AuxOptions { importance: 0.005, ..AuxOptions::default() };
        VMoeOptions { noise_std: 1.0, load: 0.005, gshard: 0.0, aux }
    }
}

/// The gate of V-MoE: the K largest of `softmax(x W + n / N)` with standard normal n, not renormalised; no noise outside
/// training (Riquelme and others, Scaling vision with sparse mixture of experts, NeurIPS 2021, section 2 and appendix A).
///
/// The noise is a function of the seed, the step, the row's id, the gate and the expert. W begins Glorot-uniform; the
/// authors' code has LeCun's normal law. Their capacity, with rows served by priority, is that of
/// [`Capacity`](crate::Capacity).
#[derive(Debug)]
pub struct VMoe {
    gate: GateLinear,
    k: usize,
    options: VMoeOptions,
}

impl VMoe {
    /// A gate with fresh weights.
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
        .uses_k()
        .with(ParameterSpec::real(
            "noise-std",
            1.0,
            0.0..=1e6,
            "standard deviation of the noise of the logits in training, times N",
        ))
        .with(ParameterSpec::real(
            "load",
            0.005,
            0.0..=1e6,
            "coefficient of the squared variation of the experts' expected number of rows; with noise only",
        ))
        .with(ParameterSpec::real(
            "gshard",
            0.0,
            0.0..=1e6,
            "coefficient of the load-balancing loss of the likeliest experts",
        ));
        let info = AuxOptions::declare_all(info).with_default("importance", Value::Real(0.005));
        RouterEntry::per_gate(info, |spec, parameters| {
            let options = VMoeOptions {
                noise_std: parameters.real("noise-std") as Real,
                load: parameters.real("load") as Real,
                gshard: parameters.real("gshard") as Real,
                aux: AuxOptions::read(parameters),
            };
            Box::new(VMoe::new(spec, options))
        })
    }

    /// The routing of training, for this noise.
    ///
    /// # Shapes
    /// `x` `[B, D]`, `noise` `[B, N]`
    pub fn route_with_noise<'t>(&self, x: Var<'t>, noise: Tensor) -> Routing<'t> {
        let options = &self.options;
        let std = options.noise_std / self.num_experts() as Real;
        let logits = self.gate.logits(x);
        let noisy = match std > 0.0 {
            true => logits + x.tape().constant(noise.map(|n| n * std)),
            false => logits,
        };
        let p = noisy.softmax();
        let mut routing = options.aux.add(self.choose(noisy, p), logits, None, self.k);
        if options.load > 0.0 && std > 0.0 {
            routing = routing.with_aux_loss(load(logits, noisy, std, self.k, options.load));
        }
        if options.gshard > 0.0 {
            routing = routing.with_aux_loss(load_balance_top1(p, options.gshard));
        }
        routing
    }

    fn choose<'t>(&self, logits: Var<'t>, p: Var<'t>) -> Routing<'t> {
        let assignments = top_k_assignments(&logits.value(), self.k);
        let weights = p.gather_assigned(&assignments);
        Routing::new(assignments, weights)
    }
}

impl Router for VMoe {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        if cx.pass.is_training() {
            let shape = [x.shape()[0], self.num_experts()];
            let noise = match self.options.noise_std > 0.0 {
                true => cx.standard_normals("noise", shape),
                false => Tensor::zeros(shape),
            };
            return self.route_with_noise(x, noise);
        }
        let logits = self.gate.logits(x);
        self.choose(logits, logits.softmax())
    }

    fn infer(&self, x: &Tensor, _: &[u64], out: &mut RoutingBuf, scratch: &mut Scratch) {
        self.gate.logits_into(x, &mut scratch.logits);
        largest_of_softmax(&mut scratch.logits, self.num_experts(), self.k, out);
    }

    fn properties(&self) -> Properties {
        Properties {
            cardinality: Cardinality::Exactly(self.k),
            total_weight: match self.k == self.num_experts() {
                true => TotalWeight::One,
                false => TotalWeight::AtMostOne,
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
