use moe_core::dispatch::Assignments;
use moe_core::ops::softmax;
use moe_core::tape::Var;
use moe_core::{Buffer, Real, StateMut, StateRef, Tensor, Visit, VisitMut};

use crate::aux_loss::AuxOptions;
use crate::gate::gate_linear::GateLinear;
use crate::registry::parameters::ParameterSpec;
use crate::registry::registry::{GateSpec, RouterEntry, RouterInfo};
use crate::router::{Properties, RouteContext, Router, TotalWeight};
use crate::routing::{Observed, Routing};
use crate::routing_buf::RoutingBuf;
use crate::scratch::Scratch;
use crate::wrap::capacity::expert_capacity;

/// How an [`ExpertChoice`] gate routes outside training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoiceInference {
    /// A row goes to every expert for which its probability reaches the expert's threshold, so that it is routed by
    /// itself.
    Threshold,
    /// As in training: by the batch.
    Batch,
}

/// Settings of an [`ExpertChoice`] gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertChoiceOptions {
    /// Rows of an expert as a multiple of K B / N; see [`expert_capacity`].
    pub capacity_factor: f64,
    /// Standard deviation of the noise of the logits in training, times N.
    pub noise_std: Real,
    /// Outside training.
    pub inference: ChoiceInference,
    /// How much of a threshold a training step leaves.
    pub threshold_decay: Real,
    /// Auxiliary losses; the paper needs none.
    pub aux: AuxOptions,
}

/// As published in training; thresholds, which follow the last ten steps or so, outside.
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

/// Experts choose rows: of `p = softmax(x W)`, each expert takes the C = ⌈factor · K B / N⌉ rows with its largest p, of
/// equal ones the earlier, with p as weights (Zhou and others, Mixture-of-experts with expert choice routing, NeurIPS
/// 2022, section 3). A row has K experts in the mean, but may have any number or none. A weight of 0 is no choice.
///
/// In training a row's experts depend on its batch. To route a row by itself in use, each expert has a threshold, kept
/// with the model as the buffer `threshold`: an exponential mean over training steps of the smallest p that the
/// expert chose, which begins with that of the first step. Before, it is 0 and lets every row in. The rule is ours; the
/// paper evaluates by batch, which [`ChoiceInference::Batch`] does.
///
/// Noise is there as in V-MoE's code, but none by default; it is a function of the seed, the step, the row's id, the
/// gate and the expert. W begins Glorot-uniform.
#[derive(Debug)]
pub struct ExpertChoice {
    gate: GateLinear,
    k: usize,
    options: ExpertChoiceOptions,
    /// `[N]`
    thresholds: Tensor,
}

impl ExpertChoice {
    /// A gate with fresh weights, whose thresholds are 0.
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
            "each expert takes the rows with its largest softmax probability, K experts a row in the mean",
            "Zhou and others: Mixture-of-experts with expert choice routing, NeurIPS 2022, section 3",
        )
        .uses_k()
        .with(ParameterSpec::real(
            "capacity-factor",
            1.0,
            1e-6..=1e6,
            "rows of an expert as a multiple of K B / N",
        ))
        .with(ParameterSpec::real(
            "noise-std",
            0.0,
            0.0..=1e6,
            "standard deviation of the noise of the logits in training, times N",
        ))
        .with(ParameterSpec::one_of(
            "inference",
            "threshold",
            &["threshold", "batch"],
            "in use, rows go where they reach an expert's threshold, or experts choose from the batch",
        ))
        .with(ParameterSpec::real(
            "threshold-decay",
            0.9,
            0.0..=1.0,
            "how much of a threshold a training step leaves",
        ));
        let losses = ["trimmed-lasso", "router-z", "entropy"];
        RouterEntry::per_gate(AuxOptions::declare(info, &losses), |spec, parameters| {
            let options = ExpertChoiceOptions {
                capacity_factor: parameters.real("capacity-factor"),
                noise_std: parameters.real("noise-std") as Real,
                inference: match parameters.text("inference") {
                    "threshold" => ChoiceInference::Threshold,
                    _ => ChoiceInference::Batch,
                },
                threshold_decay: parameters.real("threshold-decay") as Real,
                aux: AuxOptions::read(parameters),
            };
            Box::new(ExpertChoice::new(spec, options))
        })
    }

    /// The routing of training, for this noise.
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
        let lowest = last.iter().map(|&(p, _)| p).collect();
        let routing = choose(p, &last).with_observed(lowest);
        self.options.aux.add(routing, logits, Some(p), self.k)
    }

    /// For each expert, the probability and the number of the row that it takes last; nothing without rows.
    fn last_chosen(&self, p: &Tensor) -> Vec<(Real, usize)> {
        let (rows, n) = (p.rows(), p.cols());
        if rows == 0 {
            return Vec::new();
        }
        let (mut column, mut order) = (Buffer::unspecified(rows), Buffer::unspecified(rows));
        let last = |expert| self.last_of_column(p.as_slice(), n, expert, &mut column, &mut order);
        (0..n).map(last).collect()
    }

    /// [`ExpertChoice::last_chosen`] of one expert, with working memory for a number of each row.
    fn last_of_column(
        &self,
        p: &[Real],
        n: usize,
        expert: usize,
        column: &mut [Real],
        order: &mut [u32],
    ) -> (Real, usize) {
        let rows = column.len();
        let capacity = expert_capacity(self.options.capacity_factor, rows * self.k, n).min(rows);
        for (row, (value, number)) in column.iter_mut().zip(order.iter_mut()).enumerate() {
            (*value, *number) = (p[row * n + expert], row as u32);
        }
        let by_probability = |a: &u32, b: &u32| {
            let by_value = column[*b as usize].total_cmp(&column[*a as usize]);
            by_value.then(a.cmp(b))
        };
        let (_, last, _) = order.select_nth_unstable_by(capacity - 1, by_probability);
        (column[*last as usize], *last as usize)
    }
}

/// Whether a row with probability p is among those that an expert takes, up to its last one.
fn is_taken(row: usize, p: Real, (lowest, last_row): (Real, usize)) -> bool {
    p > lowest || p == lowest && row <= last_row
}

/// Each expert takes the rows up to its last one.
fn choose<'t>(p: Var<'t>, last: &[(Real, usize)]) -> Routing<'t> {
    route_where(p, |row, expert, p| is_taken(row, p, last[expert]))
}

/// The pairs of which `is_chosen(row, expert, probability)` holds, with their probability as weight, if that is not 0.
fn route_where<'t>(p: Var<'t>, is_chosen: impl Fn(usize, usize, Real) -> bool) -> Routing<'t> {
    let values = p.value();
    let (rows, n) = (values.rows(), values.cols());
    let mut offsets = Buffer::filled(rows + 1, 0);
    let mut experts = Buffer::unspecified(rows * n);
    let mut count = 0;
    for row in 0..rows {
        for (expert, &p) in values.row(row).iter().enumerate() {
            if p > 0.0 && is_chosen(row, expert, p) {
                experts[count] = expert as u32;
                count += 1;
            }
        }
        offsets[row + 1] = count as u32;
    }
    experts.truncate(count);
    let assignments = Assignments::from_buffers(n, offsets, experts).expect("rows in order");
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

    fn infer(&self, x: &Tensor, _: &[u64], out: &mut RoutingBuf, scratch: &mut Scratch) {
        let n = self.num_experts();
        let Scratch { logits: p, line: column, order, .. } = scratch;
        self.gate.logits_into(x, p);
        softmax(p, n);
        match self.options.inference {
            ChoiceInference::Threshold => {
                let thresholds = self.thresholds.as_slice();
                for p in p.chunks_exact_mut(n) {
                    let pairs = p.iter_mut().zip(thresholds);
                    pairs.for_each(|(p, &threshold)| *p = if *p >= threshold { *p } else { 0.0 });
                }
            }
            ChoiceInference::Batch if x.rows() > 0 => {
                column.resize(x.rows(), 0.0);
                order.resize(x.rows(), 0);
                for expert in 0..n {
                    let last = self.last_of_column(p, n, expert, column, order);
                    for (row, p) in p.iter_mut().skip(expert).step_by(n).enumerate() {
                        *p = if is_taken(row, *p, last) { *p } else { 0.0 };
                    }
                }
            }
            ChoiceInference::Batch => {}
        }
        out.set_sparse(p, n);
    }

    fn properties(&self) -> Properties {
        Properties {
            row_wise: false,
            total_weight: TotalWeight::AtMostOne,
            ..Properties::default()
        }
    }

    fn visit(&self, f: &mut Visit<'_>) {
        self.gate.visit(f);
        f("threshold", StateRef::Buffer(&self.thresholds));
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        self.gate.visit_mut(f);
        f("threshold", StateMut::Buffer(&mut self.thresholds));
    }

    fn after_step(&mut self, observed: &Observed) {
        let decay = self.options.threshold_decay;
        for (threshold, &lowest) in self.thresholds.as_mut_slice().iter_mut().zip(&observed.values)
        {
            let is_first = *threshold == 0.0;
            *threshold =
                if is_first { lowest } else { decay * *threshold + (1.0 - decay) * lowest };
        }
    }
}
