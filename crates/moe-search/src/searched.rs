use moe_core::random::{chacha, uniform, unit};
use moe_core::tape::{Tape, Var};
use moe_core::{Parameter, Pass, Real, StateMut, StateRef, Tensor, Visit, VisitMut};
use moe_routers::{
    AuxLoss, Cardinality, GateSet, GradientKind, Observed, Properties, Relabelled, Relabelling,
    Routing, RoutingBuf, Scratch, TotalWeight, TrainingLength, TreeWalk,
};

use crate::entropy::hard_entropy;
use crate::entropy::permutation_entropy;
use crate::options::SearchOptions;
use crate::permute::drop_small;
use crate::permute::{permute_parts, permute_routing};
use crate::rounding::round_permutation;
use crate::schedule::{Learning, SoftCall};
use crate::sinkhorn;
use crate::sinkhorn::gumbel;

/// Gates with a permutation of their experts that is learnt with them (COMET, KDD 2023, "permutation-based local
/// search").
///
/// While the permutation is learnt, training multiplies the gates by a soft one, the Sinkhorn operator of learnt logits
/// at a falling temperature; gradients reach the logits. A row then goes to almost every expert. Afterwards, and outside
/// training at any time, the permutation is the last soft one, rounded, without gradient: the experts of the gates have
/// other numbers, and nothing else changes. Before the first training step it is the identity.
///
/// Gates that are sums of parts are permuted by [`permute_parts`], others by [`permute_routing`], whose rows are divided
/// by their sum where the gate promises one, as the authors' code does. Auxiliary losses of the gates are those without
/// a permutation. The first gate has one more in training, `permutation-entropy`; once the permutation is rounded, it is
/// a constant, as published.
///
/// # State
/// Besides that of the gates: the parameter `permutation.log_alpha` `[M, N, N]`, frozen once it is learnt, and the buffers
/// `permutation.calls` (training steps taken, and of how many it is learnt, -1 if not known yet), `permutation.soft`
/// `[M, N, N]` (the last soft matrices) and `permutation.rounded` `[M, N]`. M is [`Share::count`](moe_routers::Share::count).
pub struct Searched {
    gates: Box<dyn GateSet>,
    options: SearchOptions,
    log_alpha: Parameter,
    calls: Tensor,
    soft: Tensor,
    rounded: Relabelling,
}

/// A count in single precision ends here.
const MOST_STEPS: u64 = 1 << 24;

/// Bound of the uniform distribution that initial logits are drawn from, as in the authors' code.
const INITIAL: f64 = 0.05;

impl Searched {
    /// State that only learning needs.
    pub(crate) const DROPPED: [&str; 3] =
        ["permutation.log_alpha", "permutation.calls", "permutation.soft"];

    /// These gates with a permutation to be learnt; `seed` is that of the run, for initial logits.
    ///
    /// # Panics
    /// If a number of the options is out of its range.
    pub fn new(gates: Box<dyn GateSet>, options: SearchOptions, seed: u64) -> Self {
        options.check();
        let (count, n) = (options.share.count(gates.num_gates()), gates.num_experts());
        let mut rng = chacha(seed, "init.search", 0);
        let length = match options.learning {
            Learning::Steps(steps) => steps.min(MOST_STEPS) as Real,
            _ => -1.0,
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

    /// The rounded permutations: expert e of the gates has the `e`-th number.
    pub fn permutations(&self) -> &[Vec<u32>] {
        self.rounded.permutations()
    }

    /// Plain gates with the same outputs, to the bit, as these outside of training: the gates themselves if the
    /// permutation is the identity, else [`Relabelled`] ones.
    pub fn fold(self) -> Box<dyn GateSet> {
        if self.rounded.is_identity() {
            return self.gates;
        }
        let permutations = self.rounded.permutations().to_vec();
        Box::new(Relabelled::new(self.gates, self.options.share, permutations))
    }

    /// Steps taken.
    fn done(&self) -> f64 {
        f64::from(self.calls.as_slice()[0])
    }

    /// Of how many the permutation is learnt, if that is known.
    fn all(&self) -> Option<f64> {
        let all = f64::from(self.calls.as_slice()[1]);
        (all >= 0.0).then_some(all)
    }

    /// Whether the next training step is known to have a rounded permutation.
    fn is_learnt(&self) -> bool {
        self.all().is_some_and(|all| self.done() + 1.0 >= all)
    }

    /// What is learnt with in a pass; `None` if the permutation is rounded.
    fn soft_call(&self, pass: &Pass<'_>) -> Option<SoftCall> {
        if !pass.is_training() {
            return None;
        }
        let schedule = &self.options.schedule;
        match (self.all(), self.options.learning) {
            (Some(all), _) => schedule.at(self.done() + 1.0, all),
            (None, Learning::Epochs(epochs)) => schedule.at(pass.epoch as f64, epochs),
            (None, _) => schedule.at(0.0, 1.0),
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
    fn route_soft<'t>(&self, pass: &Pass<'_>, x: Var<'t>, soft: Var<'t>) -> Vec<Routing<'t>> {
        let kept = match self.options.threshold {
            0.0 => soft,
            threshold => drop_small(soft, threshold),
        };
        let of_gate = |gate| kept.slice(0, self.options.share.of_gate(gate));
        if let Some(parts) = self.gates.route_parts(pass, x) {
            let parts = parts.into_iter().enumerate().map(|(gate, parts)| {
                let load = parts.load();
                let mut routing = permute_parts(parts, of_gate(gate));
                routing.observed.push_own(&load);
                routing
            });
            return parts.collect();
        }
        let properties = self.gates.properties();
        let routings = self.gates.route(pass, x).into_iter().zip(properties).enumerate();
        let routings = routings.map(|(gate, (routing, properties))| {
            let load = routing.observed.load.clone();
            let renormalise = properties.total_weight == TotalWeight::One;
            let mut routing = permute_routing(routing, of_gate(gate), renormalise);
            routing.observed.push_own(&load);
            routing
        });
        routings.collect()
    }

    /// Keeps the soft matrices of a step, and rounds them. What is not finite is not kept.
    fn keep(&mut self, soft: &[Real]) {
        let n = self.gates.num_experts();
        let rounded = soft.chunks_exact(n * n).map(|matrix| round_permutation(matrix, n));
        if let Ok(rounded) = rounded.collect() {
            self.soft.as_mut_slice().copy_from_slice(soft);
            self.rounded.set(rounded);
        }
    }

    fn freeze_if_learnt(&mut self) {
        if self.is_learnt() {
            self.log_alpha.set_frozen(true);
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

    fn route<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Vec<Routing<'t>> {
        let call = self.soft_call(pass);
        let soft = call.map(|call| self.soften(x.tape(), pass, call));
        let mut routings = match soft {
            Some(soft) => self.route_soft(pass, x, soft),
            None => self.rounded.route(&*self.gates, pass, x),
        };
        let first = &mut routings[0];
        if let Some(soft) = soft {
            first.observed.values.extend_from_slice(soft.value().as_slice());
        }
        // For `after_step`: whether the matrices are there.
        first.observed.values.push(if soft.is_some() { 1.0 } else { 0.0 });
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

    fn infer(&self, x: &Tensor, keys: &[u64], out: &mut Vec<RoutingBuf>, scratch: &mut Scratch) {
        self.rounded.infer(&*self.gates, (x, keys), out, scratch);
    }

    fn walk_trees(&self, x: &Tensor) -> Option<Vec<TreeWalk>> {
        self.rounded.walk_trees(&*self.gates, x)
    }

    /// While the permutation is learnt, a row may go to all experts. Its gradient is exact also then, but below a
    /// temperature of 0.1 finite differences of any step that they could be taken with do not apply.
    fn properties(&self) -> Vec<Properties> {
        let hard = self.rounded.properties(&*self.gates);
        if self.is_learnt() {
            return hard;
        }
        let schedule = &self.options.schedule;
        let coldest = schedule.first_temperature.min(schedule.last_temperature);
        let is_cold = coldest.max(schedule.temperature_floor) < 0.1;
        let learning = hard.into_iter().map(|properties| Properties {
            cardinality: Cardinality::AtMost(self.num_experts()),
            total_weight: TotalWeight::Any,
            gradient: if is_cold { GradientKind::Estimated } else { properties.gradient },
            ..properties
        });
        learning.collect()
    }

    fn visit(&self, f: &mut Visit<'_>) {
        self.gates.visit(f);
        f("permutation.log_alpha", StateRef::Parameter(&self.log_alpha));
        f("permutation.calls", StateRef::Buffer(&self.calls));
        f("permutation.soft", StateRef::Buffer(&self.soft));
        self.rounded.visit("permutation.rounded", f);
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        self.gates.visit_mut(f);
        f("permutation.log_alpha", StateMut::Parameter(&mut self.log_alpha));
        f("permutation.calls", StateMut::Buffer(&mut self.calls));
        f("permutation.soft", StateMut::Buffer(&mut self.soft));
        self.rounded.visit_mut("permutation.rounded", f);
    }

    fn begin_training(&mut self, length: TrainingLength) {
        let TrainingLength { steps_per_epoch, epochs } = length;
        let steps = self.options.learning.steps(steps_per_epoch, epochs).min(MOST_STEPS);
        self.calls.as_mut_slice()[1] = steps as Real;
        self.freeze_if_learnt();
        self.gates.begin_training(length);
    }

    fn after_step(&mut self, observed: &[Observed]) {
        let n = self.num_experts();
        let values = &observed[0].values;
        let was_soft = values.last() == Some(&1.0);
        let first_tail = 1 + if was_soft { self.soft.len() } else { 0 };
        if was_soft {
            self.keep(&values[values.len() - first_tail..values.len() - 1]);
        }
        self.calls.as_mut_slice()[0] += 1.0;
        self.freeze_if_learnt();
        let own = observed
            .iter()
            .enumerate()
            .map(|(gate, observed)| observed.own(n, if gate == 0 { first_tail } else { 0 }));
        let own: Vec<_> = own.collect();
        self.gates.after_step(&own);
    }
}

impl std::fmt::Debug for Searched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} gates searched with {:?}", self.num_gates(), self.options)
    }
}
