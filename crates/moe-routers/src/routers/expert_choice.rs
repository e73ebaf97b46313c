use moe_core::dispatch::Assignments;
use moe_core::tape::Var;
use moe_core::{Buffer, Real, Tensor, named_state};

use crate::aux_loss::options::AuxOptions;
use crate::gate::gate_linear::GateLinear;
use crate::observed::Observed;
use crate::properties::{Cardinality, Properties, TotalWeight};
use crate::registry::entry::RouterEntry;
use crate::registry::info::{GateSpec, RouterInfo};
use crate::registry::option_reader::OptionReader;
use crate::registry::parameters::{Choice, Value};
use crate::route_context::RouteContext;
use crate::router::Router;
use crate::routing::Routing;
use crate::wrap::capacity::expert_capacity;

/// How an [`ExpertChoice`] gate routes outside training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoiceInference {
    /// A row goes to every expert whose threshold its probability reaches, independently of other rows.
    Threshold,
    /// As in training: experts choose from the batch.
    Batch,
}

impl Choice for ChoiceInference {
    const WORDS: &'static [(&'static str, Self)] =
        &[(THRESHOLD, ChoiceInference::Threshold), ("batch", ChoiceInference::Batch)];
}

/// The parameter that chooses how to route outside training, and its word for thresholds.
const INFERENCE: &str = "inference";
const THRESHOLD: &str = "threshold";

/// Settings of an [`ExpertChoice`] gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertChoiceOptions {
    /// Rows of an expert as a multiple of K B / N; see [`expert_capacity`].
    pub capacity_factor: f64,
    /// Standard deviation of the noise of the logits in training, times N.
    pub noise_std: Real,
    /// Routing outside training.
    pub inference: ChoiceInference,
    /// Factor of the old threshold in its update after a training step.
    pub threshold_decay: Real,
    /// Auxiliary losses; the paper needs none.
    pub aux: AuxOptions,
}

/// Training as published; outside training, thresholds that average over about the last ten steps.
impl Default for ExpertChoiceOptions {
    fn default() -> Self {
        ExpertChoiceOptions {
            capacity_factor: 1.0,
            noise_std: 0.0,
            inference: ChoiceInference::Threshold,
            threshold_decay: 0.9,
            aux: AuxOptions::default(),
        }
    }
}

impl ExpertChoiceOptions {
    fn read(options: &mut OptionReader<'_>) -> Self {
        let defaults = ExpertChoiceOptions::default();
        ExpertChoiceOptions {
            capacity_factor: options.double(
                "capacity-factor",
                defaults.capacity_factor,
                1e-6..=1e6,
                "rows of an expert as a multiple of K B / N",
            ),
            noise_std: options.noise_std(defaults.noise_std),
            inference: options.choice(
                INFERENCE,
                defaults.inference,
                "outside training, rows go to the experts whose threshold they reach, or experts choose from the batch",
            ),
            threshold_decay: options.real(
                "threshold-decay",
                defaults.threshold_decay,
                0.0..=1.0,
                "factor of the old threshold in its update after a training step",
            ),
            aux: defaults.aux.read(options, &["trimmed-lasso", "router-z", "entropy"]),
        }
    }
}

/// Experts choose rows: of `p = softmax(x W)`, each expert takes the C = ⌈factor · K B / N⌉ rows with its largest p, of
/// equal ones the earlier, with p as weights (Zhou and others, Mixture-of-experts with expert choice routing, NeurIPS
/// 2022, section 3). A row has K experts on average, but may have any number or none. A weight of 0 is not a choice.
///
/// In training the experts of a row depend on its batch. To route a row independently at inference, each expert has a
/// threshold, saved with the model as the buffer `threshold`: an exponential moving average over training steps of the
/// smallest p that the expert chose, which starts with that of the first step. Before the first step it is 0 and admits
/// every row. This rule is not from the paper, which evaluates by batch, as [`ChoiceInference::Batch`] does.
///
/// Noise is added as in V-MoE's code, by default none; it is a function of the seed, the step, the row's id, the gate
/// and the expert. W starts Glorot-uniform.
#[derive(Debug)]
pub struct ExpertChoice {
    gate: GateLinear,
    k: usize,
    options: ExpertChoiceOptions,
    /// `[N]`: smallest probability with which a row is admitted at inference.
    thresholds: Tensor,
}

impl ExpertChoice {
    /// A gate with initial weights, whose thresholds are 0.
    ///
    /// # Panics
    /// If K is not in 1..=N.
    pub fn new(spec: &GateSpec, options: ExpertChoiceOptions) -> Self {
        let GateSpec { k, experts, .. } = *spec;
        assert!((1..=experts).contains(&k), "{k} of {experts} experts");
        let gate = GateLinear::new(spec).without_bias();
        ExpertChoice { gate, k, options, thresholds: Tensor::zeros([experts]) }
    }

    pub(crate) fn entry() -> RouterEntry {
        let info = RouterInfo::new(
            "expert-choice",
            "each expert takes the rows with its largest softmax probability, on average K experts per row",
            "Zhou and others: Mixture-of-experts with expert choice routing, NeurIPS 2022, section 3",
        )
        .uses_k()
        .fits_k_with(INFERENCE, Value::Text(THRESHOLD.into()));
        RouterEntry::with_options(info, ExpertChoiceOptions::read, ExpertChoice::new)
    }

    /// The routing in training for the given noise.
    ///
    /// # Shapes
    /// `x` `[B, D]`, `noise` `[B, N]`
    pub fn route_with_noise<'t>(&self, x: Var<'t>, noise: Tensor) -> Routing<'t> {
        let std = self.options.noise_std / self.num_experts() as Real;
        self.train(self.gate.logits(x) + x.tape().constant(noise.map(|n| n * std)))
    }

    fn train<'t>(&self, logits: Var<'t>) -> Routing<'t> {
        let p = logits.softmax();
        let last = self.last_chosen(&p.value());
        let mut routing = choose(p, &last);
        if logits.shape()[0] > 0 {
            routing = routing.with_observed(last.lowest);
        }
        self.options.aux.add(routing, logits, Some(p), self.k)
    }

    /// The last row that each expert takes; unspecified without rows.
    fn last_chosen(&self, p: &Tensor) -> LastRows {
        let (rows, n) = (p.rows(), p.cols());
        let mut last = LastRows { lowest: Tensor::unspecified([n]), rows: Buffer::unspecified(n) };
        if rows == 0 {
            return last;
        }
        let capacity = expert_capacity(self.options.capacity_factor, rows * self.k, n).min(rows);
        let (mut column, mut order) =
            (Buffer::<Real>::unspecified(rows), Buffer::unspecified(rows));
        let all = last.lowest.as_mut_slice().iter_mut().zip(last.rows.iter_mut());
        for (expert, (lowest, last)) in all.enumerate() {
            for (row, (value, index)) in column.iter_mut().zip(order.iter_mut()).enumerate() {
                (*value, *index) = (p.as_slice()[row * n + expert], row as u32);
            }
            let by_probability = |a: &u32, b: &u32| {
                let by_value = column[*b as usize].total_cmp(&column[*a as usize]);
                by_value.then(a.cmp(b))
            };
            *last = *order.select_nth_unstable_by(capacity - 1, by_probability).1;
            *lowest = column[*last as usize];
        }
        last
    }
}

/// The last row that each expert takes of a batch.
struct LastRows {
    /// `[N]`: its probability.
    lowest: Tensor,
    /// `[N]`: its index.
    rows: Buffer<u32>,
}

/// The routing in which each expert takes the rows up to its last one.
fn choose<'t>(p: Var<'t>, last: &LastRows) -> Routing<'t> {
    route_where(p, |row, expert, p| {
        let lowest = last.lowest.as_slice()[expert];
        p > lowest || p == lowest && row <= last.rows[expert] as usize
    })
}

/// The pairs with a probability above 0 for which `is_chosen(row, expert, probability)` holds, weighted by it.
fn route_where<'t>(p: Var<'t>, is_chosen: impl Fn(usize, usize, Real) -> bool) -> Routing<'t> {
    let values = p.value();
    let (rows, n, values) = (values.rows(), values.cols(), values.as_slice());
    let assignments = Assignments::from_fn(rows, n, |row, expert| {
        let p = values[row * n + expert];
        p > 0.0 && is_chosen(row, expert, p)
    });
    let weights = p.gather_assigned(&assignments);
    Routing::new(assignments, weights)
}

impl Router for ExpertChoice {
    fn num_experts(&self) -> usize {
        self.gate.num_experts()
    }

    fn route<'t>(&self, cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        if !cx.pass.is_training() {
            let p = self.gate.logits(x).softmax();
            return match self.options.inference {
                ChoiceInference::Threshold => {
                    let thresholds = self.thresholds.as_slice();
                    route_where(p, |_, expert, p| p >= thresholds[expert])
                }
                ChoiceInference::Batch => choose(p, &self.last_chosen(&p.value())),
            };
        }
        if self.options.noise_std == 0.0 {
            return self.train(self.gate.logits(x));
        }
        let shape = [x.shape()[0], self.num_experts()];
        self.route_with_noise(x, cx.standard_normals("noise", shape))
    }

    fn properties(&self) -> Properties {
        Properties { row_wise: false, ..Properties::new(Cardinality::Any, TotalWeight::AtMostOne) }
    }

    named_state!(flat gate, "threshold" => buffer thresholds);

    fn after_step(&mut self, observed: &Observed) {
        let decay = self.options.threshold_decay;
        let Some(lowest) = &observed.values else { return };
        for (threshold, &lowest) in self.thresholds.as_mut_slice().iter_mut().zip(lowest.as_slice())
        {
            let is_first = *threshold == 0.0;
            *threshold =
                if is_first { lowest } else { decay * *threshold + (1.0 - decay) * lowest };
        }
    }
}
