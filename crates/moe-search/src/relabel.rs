//! Gates under hard permutations: experts get other numbers, nothing is computed.

use moe_core::dispatch::Assignments;
use moe_core::kernel::{Mat, gemm};
use moe_core::tape::Var;
use moe_core::{Buffer, Pass, Real, StateMut, StateRef, Tensor, Visit, VisitMut};
use moe_routers::{
    Cardinality, GateSet, Observed, Parts, PartsBuf, Properties, Routing, RoutingBuf, Scratch,
    TrainingLength, TreeWalk,
};

use crate::permute_routing;

/// Which permutations the gates of a layer have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// One for all gates, as published.
    All,
    /// One per gate.
    Gate,
    /// So many per gate. Where gates are sums of that many parts (COMET's trees, DSelect-k's selectors), part t has the
    /// t-th; a gate that is no such sum has the mean of its permutations, so that each of its experts becomes several.
    Part(usize),
}

impl Share {
    /// M: the permutations of so many gates.
    pub fn count(self, gates: usize) -> usize {
        match self {
            Share::All => 1,
            Share::Gate => gates,
            Share::Part(parts) => gates * parts,
        }
    }

    /// The permutations of a gate.
    pub(crate) fn of_gate(self, gate: usize) -> std::ops::Range<usize> {
        match self {
            Share::All => 0..1,
            Share::Gate => gate..gate + 1,
            Share::Part(parts) => gate * parts..(gate + 1) * parts,
        }
    }
}

/// M permutations of N experts, as state that is saved and loaded.
#[derive(Clone, Debug)]
pub(crate) struct Labels {
    /// `[M, N]`: the number that each expert gets.
    buffer: Tensor,
    /// The same as whole numbers; where the buffer holds no permutation, the identity.
    rows: Vec<Vec<u32>>,
}

impl Labels {
    pub(crate) fn identity(count: usize, experts: usize) -> Self {
        let buffer = Tensor::from_fn([count, experts], |i| (i % experts) as Real);
        Labels { rows: vec![(0..experts as u32).collect(); count], buffer }
    }

    pub(crate) fn new(rows: Vec<Vec<u32>>) -> Self {
        let experts = rows.first().map_or(0, Vec::len);
        let mut labels = Labels::identity(rows.len(), experts);
        let values = labels.buffer.as_mut_slice();
        values.iter_mut().zip(rows.iter().flatten()).for_each(|(v, &label)| *v = label as Real);
        labels.rows = rows;
        labels
    }

    pub(crate) fn is_identity(&self) -> bool {
        self.rows.iter().all(|row| row.is_sorted())
    }

    pub(crate) fn rows(&self) -> &[Vec<u32>] {
        &self.rows
    }

    pub(crate) fn visit(&self, name: &str, f: &mut Visit<'_>) {
        f(name, StateRef::Buffer(&self.buffer));
    }

    pub(crate) fn visit_mut(&mut self, name: &str, f: &mut VisitMut<'_>) {
        f(name, StateMut::Buffer(&mut self.buffer));
        let same = |row: &[u32], values: &[Real]| {
            row.iter().zip(values).all(|(&label, &value)| label as Real == value)
        };
        for (r, row) in self.rows.iter_mut().enumerate() {
            let values = self.buffer.row(r);
            if !same(row, values) {
                *row = values.iter().map(|&value| value as u32).collect();
                if !is_permutation(row) || !same(row, values) {
                    row.iter_mut().enumerate().for_each(|(i, label)| *label = i as u32);
                }
            }
        }
    }

    /// The permutations as matrices of zeros and ones: `[M, N, N]`.
    fn matrices(rows: &[Vec<u32>]) -> Tensor {
        let n = rows[0].len();
        let mut matrices = Tensor::zeros([rows.len(), n, n]);
        for (row, &label) in matrices.as_mut_slice().chunks_exact_mut(n).zip(rows.iter().flatten())
        {
            row[label as usize] = 1.0;
        }
        matrices
    }
}

/// Whether these are the numbers below their count, each once.
pub(crate) fn is_permutation(labels: &[u32]) -> bool {
    let mut seen = vec![false; labels.len()];
    labels.iter().all(|&label| {
        seen.get_mut(label as usize).is_some_and(|seen| !std::mem::replace(seen, true))
    })
}

/// The routing with other numbers for the experts: expert e becomes `labels[e]`. Weights are moved, not computed.
///
/// # Panics
/// If `labels` is not a permutation of the N experts.
pub fn relabel_routing<'t>(routing: Routing<'t>, labels: &[u32]) -> Routing<'t> {
    let assignments = &routing.assignments;
    let n = assignments.num_experts();
    assert!(labels.len() == n && is_permutation(labels), "{labels:?} for {n} experts");
    if labels.is_sorted() {
        return routing;
    }
    let mut order = Buffer::unspecified(assignments.pairs());
    order.iter_mut().enumerate().for_each(|(pair, at)| *at = pair as u32);
    let label = |pair: u32| labels[assignments.experts()[pair as usize] as usize];
    for row in 0..assignments.rows() {
        order[assignments.pairs_of(row)].sort_unstable_by_key(|&pair| label(pair));
    }
    let mut experts = Buffer::unspecified(order.len());
    experts.iter_mut().zip(order.iter()).for_each(|(expert, &pair)| *expert = label(pair));
    let offsets = Buffer::copy_of(assignments.offsets());
    let relabelled = Assignments::from_buffers(n, offsets, experts);
    let mut routing = routing;
    routing.assignments = relabelled.expect("a permutation keeps experts apart");
    routing.observed.load = routing.assignments.load();
    routing.weights = routing.weights.index_select(0, &order);
    routing
}

/// Each part with the numbers of its own permutation.
fn relabel_parts<'t>(parts: Parts<'t>, labels: &[Vec<u32>]) -> Parts<'t> {
    let [rows, count, n] = parts.weights.shape()[..] else {
        panic!("parts have the shape [B, K, N], not {:?}", parts.weights.shape())
    };
    assert_eq!(count, labels.len(), "permutations for another number of parts");
    let mut from = vec![0; count * n];
    for (part, labels) in labels.iter().enumerate() {
        for (expert, &label) in labels.iter().enumerate() {
            from[part * n + label as usize] = (part * n + expert) as u32;
        }
    }
    let weights = parts.weights.reshape([rows, count * n]).index_select(1, &from);
    Parts { weights: weights.reshape([rows, count, n]), ..parts }
}

/// The routing of each gate under hard permutations, and the load of its experts before they got other numbers.
pub(crate) fn route_hard<'t>(
    gates: &dyn GateSet,
    share: Share,
    labels: &Labels,
    pass: &Pass<'_>,
    x: Var<'t>,
) -> Vec<(Routing<'t>, Vec<u32>)> {
    let of_gate = |gate| &labels.rows[share.of_gate(gate)];
    if let Share::Part(_) = share
        && let Some(parts) = gates.route_parts(pass, x)
    {
        let parts = parts.into_iter().enumerate().map(|(gate, parts)| {
            let load = load_of_parts(&parts);
            (relabel_parts(parts, of_gate(gate)).into_routing(), load)
        });
        return parts.collect();
    }
    let routings = gates.route(pass, x).into_iter().enumerate().map(|(gate, routing)| {
        let (labels, load) = (of_gate(gate), routing.observed.load.clone());
        let routing = match labels {
            [labels] => relabel_routing(routing, labels),
            several => {
                let matrices = x.tape().constant(Labels::matrices(several));
                permute_routing(routing, matrices, false)
            }
        };
        (routing, load)
    });
    routings.collect()
}

/// Rows of each expert: those to which some part gives it a weight.
pub(crate) fn load_of_parts(parts: &Parts<'_>) -> Vec<u32> {
    let weights = parts.weights.value();
    let (count, n) = (weights.shape()[1], weights.cols());
    let mut load = vec![0; n];
    for row in weights.as_slice().chunks_exact((count * n).max(1)) {
        for (expert, load) in load.iter_mut().enumerate() {
            *load += u32::from((0..count).any(|part| row[part * n + expert] != 0.0));
        }
    }
    load
}

/// [`GateSet::infer`] under hard permutations.
pub(crate) fn infer_hard(
    gates: &dyn GateSet,
    share: Share,
    labels: &Labels,
    (x, keys): (&Tensor, &[u64]),
    out: &mut Vec<RoutingBuf>,
    scratch: &mut Scratch,
) {
    let of_gate = |gate| &labels.rows[share.of_gate(gate)];
    if let Share::Part(_) = share {
        let mut parts = std::mem::take(&mut scratch.parts);
        let are_parts = gates.infer_parts(x, keys, &mut parts, scratch);
        if are_parts {
            out.resize_with(gates.num_gates(), RoutingBuf::default);
            for (gate, (out, parts)) in out.iter_mut().zip(&mut parts).enumerate() {
                relabel_parts_buf(parts, of_gate(gate), &mut scratch.line);
                out.sum_parts(parts);
            }
        }
        scratch.parts = parts;
        if are_parts {
            return;
        }
    }
    gates.infer(x, keys, out, scratch);
    for (gate, out) in out.iter_mut().enumerate() {
        match of_gate(gate) {
            [labels] => out.relabel(labels),
            several => mix_buf(out, several, scratch),
        }
    }
}

/// [`GateSet::walk_trees`] under hard permutations.
pub(crate) fn walk_hard(
    gates: &dyn GateSet,
    share: Share,
    labels: &Labels,
    x: &Tensor,
) -> Option<Vec<TreeWalk>> {
    let mut walks = gates.walk_trees(x)?;
    for (gate, walk) in walks.iter_mut().enumerate() {
        walk.relabel(&labels.rows[share.of_gate(gate)]);
    }
    Some(walks)
}

/// [`relabel_parts`] in place; `line` is working memory.
fn relabel_parts_buf(parts: &mut PartsBuf, labels: &[Vec<u32>], line: &mut Vec<Real>) {
    assert_eq!(parts.parts(), labels.len(), "permutations for another number of parts");
    let n = parts.experts();
    for (i, part) in parts.weights_mut().chunks_exact_mut(n).enumerate() {
        line.clear();
        line.extend_from_slice(part);
        for (&label, &weight) in labels[i % labels.len()].iter().zip(line.iter()) {
            part[label as usize] = weight;
        }
    }
}

/// [`permute_routing`] with the matrices of these permutations, in place.
fn mix_buf(out: &mut RoutingBuf, labels: &[Vec<u32>], scratch: &mut Scratch) {
    let (rows, n) = (out.rows(), out.num_experts());
    let Scratch { logits: mixed, hidden: dense, line: mean, .. } = scratch;
    zeros(mean, n * n);
    for labels in labels {
        for (row, &label) in mean.chunks_exact_mut(n).zip(labels) {
            row[label as usize] += 1.0;
        }
    }
    let share = 1.0 / labels.len() as Real;
    mean.iter_mut().for_each(|count| *count *= share);
    zeros(dense, rows * n);
    for (row, dense) in dense.chunks_exact_mut(n).enumerate() {
        out.row(row).for_each(|(expert, weight)| dense[expert as usize] = weight);
    }
    zeros(mixed, rows * n);
    gemm(Mat::new(dense, rows, n), Mat::new(mean, n, n), false, mixed);
    out.set_sparse(mixed, n);
}

/// Makes of a buffer so many zeros.
fn zeros(buffer: &mut Vec<Real>, len: usize) {
    buffer.clear();
    buffer.resize(len, 0.0);
}

/// What gates promise under hard permutations, given what they promise without.
pub(crate) fn hard_properties(gates: &dyn GateSet, share: Share) -> Vec<Properties> {
    let n = gates.num_experts();
    let mut properties = gates.properties();
    if let Share::Part(parts) = share {
        for properties in &mut properties {
            // The mean of permutations makes several experts of one, and parts that met in one may come apart.
            properties.cardinality = match properties.cardinality {
                Cardinality::Exactly(k) | Cardinality::AtMost(k) => {
                    Cardinality::AtMost((k * parts).min(n))
                }
                Cardinality::Any => Cardinality::Any,
            };
        }
    }
    properties
}

/// What a gate observed, in the numbers that its experts had before the permutation: `observed` as [`observe_own`] left
/// it, with `tail` more values behind.
pub(crate) fn own_observed(observed: &Observed, experts: usize, tail: usize) -> Observed {
    let values = &observed.values[..observed.values.len() - tail];
    let (values, shares) = values.split_at(values.len() - experts);
    let load = shares.iter().map(|&share| (share * observed.rows as Real).round() as u32);
    Observed { rows: observed.rows, load: load.collect(), values: values.to_vec() }
}

/// Adds the load of a gate's own experts to what its routing observed, as shares of the rows, for [`own_observed`].
pub(crate) fn observe_own(observed: &mut Observed, own_load: &[u32]) {
    let rows = observed.rows.max(1) as Real;
    observed.values.extend(own_load.iter().map(|&load| load as Real / rows));
}

/// Gates whose experts have other numbers: what [`Searched::fold`](crate::Searched::fold) gives. Weights are exactly
/// those of the gates.
pub struct Relabelled {
    gates: Box<dyn GateSet>,
    share: Share,
    labels: Labels,
}

impl Relabelled {
    /// The gates; expert e of a gate becomes the `e`-th number of its permutation. There are
    /// [`share.count`](Share::count) permutations.
    ///
    /// # Panics
    /// If there are not so many, or one is not a permutation of the N experts.
    pub fn new(gates: Box<dyn GateSet>, share: Share, permutations: Vec<Vec<u32>>) -> Self {
        let (count, n) = (share.count(gates.num_gates()), gates.num_experts());
        assert_eq!(permutations.len(), count, "another number of permutations");
        for labels in &permutations {
            assert!(labels.len() == n && is_permutation(labels), "{labels:?} for {n} experts");
        }
        Relabelled { gates, share, labels: Labels::new(permutations) }
    }

    /// The permutations. A loaded one that was none counts as the identity.
    pub fn permutations(&self) -> &[Vec<u32>] {
        self.labels.rows()
    }
}

impl GateSet for Relabelled {
    fn num_gates(&self) -> usize {
        self.gates.num_gates()
    }

    fn num_experts(&self) -> usize {
        self.gates.num_experts()
    }

    fn route<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Vec<Routing<'t>> {
        let routings = route_hard(&*self.gates, self.share, &self.labels, pass, x).into_iter();
        let routings = routings.map(|(mut routing, own_load)| {
            observe_own(&mut routing.observed, &own_load);
            routing
        });
        routings.collect()
    }

    fn infer(&self, x: &Tensor, keys: &[u64], out: &mut Vec<RoutingBuf>, scratch: &mut Scratch) {
        infer_hard(&*self.gates, self.share, &self.labels, (x, keys), out, scratch);
    }

    fn walk_trees(&self, x: &Tensor) -> Option<Vec<TreeWalk>> {
        walk_hard(&*self.gates, self.share, &self.labels, x)
    }

    fn properties(&self) -> Vec<Properties> {
        hard_properties(&*self.gates, self.share)
    }

    fn visit(&self, f: &mut Visit<'_>) {
        self.gates.visit(f);
        self.labels.visit("permutation.rounded", f);
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        self.gates.visit_mut(f);
        self.labels.visit_mut("permutation.rounded", f);
    }

    fn begin_training(&mut self, length: TrainingLength) {
        self.gates.begin_training(length);
    }

    fn after_step(&mut self, observed: &[Observed]) {
        let n = self.gates.num_experts();
        let own: Vec<_> = observed.iter().map(|observed| own_observed(observed, n, 0)).collect();
        self.gates.after_step(&own);
    }
}

impl std::fmt::Debug for Relabelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (gates, rows) = (self.gates.num_gates(), self.labels.rows());
        write!(f, "{gates} gates with experts relabelled by {rows:?}")
    }
}
