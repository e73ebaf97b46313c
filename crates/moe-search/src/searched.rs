use moe_core::random::{chacha, uniform, unit};
use moe_core::tape::{Tape, Var};
use moe_core::{Parameter, Pass, Real, Tensor, named_state};
use moe_routers::{
    AuxLoss, Cardinality, GateSet, GatesOfParts, GradientKind, Observed, Parts, Properties,
    Relabelled, Relabelling, Routings, TotalWeight, TrainingLength, TreeWalk,
};

use crate::entropy::{hard_entropy, permutation_entropy};
use crate::options::SearchOptions;
use crate::permute::{drop_small, permute_parts, permute_routing};
use crate::rounding::round_permutation;
use crate::schedule::{Learning, SoftCall};
use crate::sinkhorn::{gumbel, sinkhorn};

/// Gates with a permutation of their experts that is learnt with them (COMET, KDD 2023, "permutation-based local
/// search").
///
/// While the permutation is learnt, training multiplies the gates by a soft one: the Sinkhorn operator of learnt logits
/// at a falling temperature, through which gradients reach the logits. A row then goes to almost every expert.
/// Afterwards, and at any time outside training, the permutation is the last soft one, rounded and without a gradient,
/// which only permutes the expert indices of the gates. Before the first training step it is the identity.
///
/// Gates that are sums of parts are permuted by [`permute_parts`], others by [`permute_routing`], whose rows are
/// divided by their sum if the gate promises one, as in the authors' code. Auxiliary losses of the gates are those
/// without a permutation. In training the first gate has one more, `permutation-entropy`; when the permutation is
/// rounded, it is a constant, as published.
///
/// # State
/// Besides that of the gates: the parameter `permutation.log_alpha` `[M, N, N]`, frozen when learning ends, and the
/// buffers `permutation.calls` (number of training steps taken, and number of those that learn, -1 if not known yet),
/// `permutation.soft` `[M, N, N]` (the last soft matrices) and `permutation.rounded` `[M, N]`. M is
/// [`Share::count`](moe_routers::Share::count).
///
/// # Observations
/// A gate's [`Observed::inner`] is what the wrapped gate observed of its own experts. [`Observed::values`] of the first
/// gate are the soft matrices of the step, absent once the permutation is rounded.
pub struct Searched {
    gates: Box<dyn GateSet>,
    options: SearchOptions,
    log_alpha: Parameter,
    calls: Tensor,
    soft: Tensor,
    rounded: Relabelling,
}

/// The largest integer up to which single precision counts exactly.
const MOST_STEPS: u64 = 1 << 24;

/// Bound of the uniform distribution of initial logits, as in the authors' code.
const INITIAL: f64 = 0.05;

impl Searched {
    /// Names of the state that only learning needs.
    pub(crate) const DROPPED: [&str; 3] =
        ["permutation.log_alpha", "permutation.calls", "permutation.soft"];

    /// The gates with a permutation to be learnt; `seed` is that of the run, for initial logits.
    ///
    /// # Panics
    /// If an option is out of range.
    pub fn new(gates: Box<dyn GateSet>, options: SearchOptions, seed: u64) -> Self {
        options.check();
        let (count, n) = (options.share.count(gates.num_gates()), gates.num_experts());
        let mut rng = chacha(seed, "init.search", 0);
        let length = match options.learning {
            Learning::Steps(steps) => steps.min(MOST_STEPS) as Real,
            Learning::Epochs(_) | Learning::Fraction(_) => -1.0,
        };
        let rounded = Relabelling::identity(options.share, gates.num_gates(), n);
        Searched {
            gates,
            options,
            log_alpha: Parameter::new(uniform([count, n, n], INITIAL, &mut rng)),
            calls: Tensor::new([2], vec![0.0, length]),
            soft: Tensor::zeros([count, n, n]),
            rounded,
        }
    }

    /// The last soft matrices; zeros before the first training step.
    ///
    /// # Shapes
    /// → `[M, N, N]`
    pub fn soft(&self) -> &Tensor {
        &self.soft
    }

    /// The rounded permutations: expert e of the gates becomes expert `permutation[e]`.
    pub fn permutations(&self) -> &[Vec<u32>] {
        self.rounded.permutations()
    }

    /// Plain gates whose outputs outside training equal those of these gates, bit by bit: the gates themselves if the
    /// permutation is the identity, otherwise [`Relabelled`] ones.
    pub fn fold(self) -> Box<dyn GateSet> {
        if self.rounded.is_identity() {
            return self.gates;
        }
        let permutations = self.rounded.permutations().to_vec();
        Box::new(Relabelled::new(self.gates, self.options.share, permutations))
    }

    /// Number of training steps taken.
    fn done(&self) -> f64 {
        f64::from(self.calls.as_slice()[0])
    }

    /// Number of training steps that learn, if known.
    fn all(&self) -> Option<f64> {
        let all = f64::from(self.calls.as_slice()[1]);
        (all >= 0.0).then_some(all)
    }

    /// Returns whether the next training step is known to have a rounded permutation.
    fn is_learnt(&self) -> bool {
        self.all().is_some_and(|all| self.done() + 1.0 >= all)
    }

    fn freeze_if_learnt(&mut self) {
        if self.is_learnt() {
            self.log_alpha.set_frozen(true);
        }
    }

    /// The parameters of learning in a pass; `None` if the permutation is rounded.
    fn soft_call(&self, pass: &Pass<'_>) -> Option<SoftCall> {
        if !pass.is_training() {
            return None;
        }
        let schedule = &self.options.schedule;
        match (self.all(), self.options.learning) {
            (Some(all), _) => schedule.at(self.done() + 1.0, all),
            (None, Learning::Epochs(epochs)) => schedule.at(pass.epoch as f64, epochs),
            (None, Learning::Fraction(_) | Learning::Steps(_)) => schedule.at(0.0, 1.0),
        }
    }

    /// The soft matrices of a training step.
    fn soften<'t>(&self, tape: &'t Tape, pass: &Pass<'_>, call: SoftCall) -> Var<'t> {
        let noise = (self.options.noise > 0.0).then(|| {
            let philox = pass.philox("search.gumbel");
            let draw = |i: usize| unit(philox.row_block(i as u64, 0, 0)[0]);
            let noise = gumbel(&Tensor::from_fn(*self.soft.shape(), draw));
            noise.map(|v| v * self.options.noise)
        });
        let temperature = tape.constant(Tensor::scalar(call.temperature as Real));
        sinkhorn(tape.parameter(&self.log_alpha), temperature, call.iterations, noise)
    }

    /// The routings under soft matrices.
    fn route_soft<'t>(&self, pass: &Pass<'_>, x: Var<'t>, soft: Var<'t>) -> Routings<'t> {
        let threshold = self.options.threshold;
        let kept = if threshold > 0.0 { drop_small(soft, threshold) } else { soft };
        let of_gate = |gate| kept.slice(0, self.options.share.of_gate(gate));
        let (mut routings, own): (Routings<'t>, Vec<_>) = match self.gates.as_parts() {
            Some(sums) => {
                let parts = sums.route_parts(pass, x);
                let own = parts.iter().map(Parts::observed).collect();
                let mixed = parts.into_iter().enumerate();
                let mixed = mixed.map(|(gate, parts)| permute_parts(parts, of_gate(gate)));
                (sums.finish(pass, mixed.collect()), own)
            }
            None => {
                let routings = self.gates.route(pass, x);
                let own = routings.iter().map(|routing| routing.observed.clone()).collect();
                let properties = self.gates.properties();
                let mixed = routings.into_iter().enumerate().map(|(gate, routing)| {
                    let renormalise = properties[gate].total_weight == TotalWeight::One;
                    permute_routing(routing, of_gate(gate), renormalise)
                });
                (mixed.collect(), own)
            }
        };
        routings.iter_mut().zip(own).for_each(|(routing, own)| routing.observed.wrap(own));
        routings
    }

    /// Keeps the soft matrices of a step and rounds them, unless they are not finite.
    fn keep(&mut self, soft: &Tensor) {
        let n = self.gates.num_experts();
        let matrices = soft.as_slice().chunks_exact(n * n);
        if let Ok(rounded) = matrices.map(|matrix| round_permutation(matrix, n)).collect() {
            self.soft.as_mut_slice().copy_from_slice(soft.as_slice());
            self.rounded.set(rounded);
        }
    }
}

impl GateSet for Searched {
    fn num_gates(&self) -> usize {
        self.gates.num_gates()
    }

    fn num_experts(&self) -> usize {
        self.gates.num_experts()
    }

    fn route<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Routings<'t> {
        let call = self.soft_call(pass);
        let soft = call.map(|call| self.soften(x.tape(), pass, call));
        let mut routings = match soft {
            Some(soft) => self.route_soft(pass, x, soft),
            None => self.rounded.route(&*self.gates, pass, x),
        };
        let first = &mut routings[0];
        first.observed.values = soft.map(|soft| soft.value());
        if pass.is_training() && self.options.entropy > 0.0 {
            let value = match soft {
                Some(soft) => permutation_entropy(soft),
                None => x.tape().constant(Tensor::scalar(hard_entropy(self.num_experts()))),
            };
            let value = value.scale(self.options.entropy);
            first.aux_losses.push(AuxLoss { name: "permutation-entropy", value });
        }
        routings
    }

    /// None: the parts are permuted already, and another permutation acts on their sums.
    fn as_parts(&self) -> Option<&dyn GatesOfParts> {
        None
    }

    fn walk_trees(&self, x: &Tensor) -> Option<Vec<TreeWalk>> {
        self.rounded.walk_trees(&*self.gates, x)
    }

    /// While the permutation is learnt, a row may go to all experts. The gradient is exact then, too, but below a
    /// temperature of 0.1 it changes faster than any usable step of finite differences can follow.
    fn properties(&self) -> Vec<Properties> {
        let mut properties = self.rounded.properties(&*self.gates);
        if self.is_learnt() {
            return properties;
        }
        let schedule = &self.options.schedule;
        let coldest = schedule.first_temperature.min(schedule.last_temperature);
        let is_cold = coldest.max(schedule.temperature_floor) < 0.1;
        for properties in &mut properties {
            properties.cardinality = Cardinality::AtMost(self.num_experts());
            properties.total_weight = TotalWeight::Any;
            if is_cold {
                properties.gradient = GradientKind::Estimated;
            }
        }
        properties
    }

    named_state!(
        flat gates,
        "permutation.log_alpha" => parameter log_alpha,
        "permutation.calls" => buffer calls,
        "permutation.soft" => buffer soft,
        flat rounded,
    );

    fn begin_training(&mut self, length: TrainingLength) {
        let TrainingLength { steps_per_epoch, epochs } = length;
        let steps = self.options.learning.steps(steps_per_epoch, epochs).min(MOST_STEPS);
        self.calls.as_mut_slice()[1] = steps as Real;
        self.freeze_if_learnt();
        self.gates.begin_training(length);
    }

    fn after_step(&mut self, observed: &[Observed]) {
        if let Some(soft) = &observed[0].values {
            self.keep(soft);
        }
        self.calls.as_mut_slice()[0] += 1.0;
        self.freeze_if_learnt();
        self.gates.after_step(&Observed::inner_of(observed));
    }
}

impl std::fmt::Debug for Searched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} gates searched with {:?}", self.num_gates(), self.options)
    }
}
