//! Other numbers for the experts of gates: an index map on their routings, nothing is computed.

use moe_core::dispatch::Assignments;
use moe_core::tape::Var;
use moe_core::{Buffer, Pass, Real, StateMut, StateRef, Tensor, Visit, VisitMut};
use serde::{Deserialize, Serialize};

use crate::gate_set::GateSet;
use crate::parts::{Parts, PartsBuf};
use crate::router::{Cardinality, Properties};
use crate::routers::comet::tree_walk::TreeWalk;
use crate::routing::Routing;
use crate::routing_buf::RoutingBuf;
use crate::scratch::Scratch;

/// Which permutations the gates of a layer have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

    /// Which of them a gate has.
    pub fn of_gate(self, gate: usize) -> std::ops::Range<usize> {
        match self {
            Share::All => 0..1,
            Share::Gate => gate..gate + 1,
            Share::Part(parts) => gate * parts..(gate + 1) * parts,
        }
    }
}

/// M permutations of the N experts of a layer's gates, as state that is saved and loaded: expert e of a gate becomes the
/// `e`-th number of the gate's permutation.
#[derive(Clone, Debug)]
pub struct Relabelling {
    share: Share,
    /// `[M, N]`: the number that each expert gets.
    buffer: Tensor,
    /// The same as whole numbers; where the buffer holds no permutation, the identity.
    rows: Vec<Vec<u32>>,
}

impl Relabelling {
    /// Every expert keeps its number.
    pub fn identity(share: Share, gates: usize, experts: usize) -> Self {
        let count = share.count(gates);
        let buffer = Tensor::from_fn([count, experts], |i| (i % experts) as Real);
        Relabelling { share, rows: vec![(0..experts as u32).collect(); count], buffer }
    }

    /// These permutations instead: as many, of as many experts.
    ///
    /// # Panics
    /// If they are not, or one is not a permutation.
    pub fn set(&mut self, rows: Vec<Vec<u32>>) {
        let n = self.buffer.cols();
        assert_eq!(rows.len(), self.rows.len(), "another number of permutations");
        for labels in &rows {
            assert!(labels.len() == n && is_permutation(labels), "{labels:?} for {n} experts");
        }
        let values = self.buffer.as_mut_slice();
        values.iter_mut().zip(rows.iter().flatten()).for_each(|(v, &label)| *v = label as Real);
        self.rows = rows;
    }

    /// Whether every expert keeps its number.
    pub fn is_identity(&self) -> bool {
        self.rows.iter().all(|row| row.is_sorted())
    }

    /// The permutations. A loaded one that was none counts as the identity.
    pub fn permutations(&self) -> &[Vec<u32>] {
        &self.rows
    }

    /// Reports the permutations as the buffer `name` `[M, N]`.
    pub fn visit(&self, name: &str, f: &mut Visit<'_>) {
        f(name, StateRef::Buffer(&self.buffer));
    }

    /// [`Relabelling::visit`], writable.
    pub fn visit_mut(&mut self, name: &str, f: &mut VisitMut<'_>) {
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

    fn of_gate(&self, gate: usize) -> &[Vec<u32>] {
        &self.rows[self.share.of_gate(gate)]
    }

    /// [`GateSet::route`] of `gates` with the other numbers. What is observed ends with the load of the gates' own
    /// experts ([`Observed::push_own`](crate::Observed::push_own)).
    pub fn route<'t>(&self, gates: &dyn GateSet, pass: &Pass<'_>, x: Var<'t>) -> Vec<Routing<'t>> {
        if let Share::Part(_) = self.share
            && let Some(parts) = gates.route_parts(pass, x)
        {
            let routings = parts.into_iter().enumerate().map(|(gate, parts)| {
                let load = parts.load();
                let mut routing = relabel_parts(parts, self.of_gate(gate)).into_routing();
                routing.observed.push_own(&load);
                routing
            });
            return routings.collect();
        }
        let routings = gates.route(pass, x).into_iter().enumerate().map(|(gate, routing)| {
            let load = routing.observed.load.clone();
            let mut routing = match self.of_gate(gate) {
                [labels] => relabel_routing(routing, labels),
                several => spread(routing, several),
            };
            routing.observed.push_own(&load);
            routing
        });
        routings.collect()
    }

    /// [`GateSet::infer`] of `gates` with the other numbers.
    pub fn infer(
        &self,
        gates: &dyn GateSet,
        (x, keys): (&Tensor, &[u64]),
        out: &mut Vec<RoutingBuf>,
        scratch: &mut Scratch,
    ) {
        let are_many = matches!(self.share, Share::Part(_));
        let mut parts = std::mem::take(&mut scratch.parts);
        if are_many && gates.infer_parts(x, keys, &mut parts, scratch) {
            out.resize_with(gates.num_gates(), RoutingBuf::default);
            for (gate, (out, parts)) in out.iter_mut().zip(&mut parts).enumerate() {
                relabel_parts_buf(parts, self.of_gate(gate), &mut scratch.line);
                out.sum_parts(parts);
            }
            scratch.parts = parts;
            return;
        }
        scratch.parts = parts;
        gates.infer(x, keys, out, scratch);
        for (gate, out) in out.iter_mut().enumerate() {
            match self.of_gate(gate) {
                [labels] => out.relabel(labels),
                several => spread_buf(out, several, scratch),
            }
        }
    }

    /// [`GateSet::walk_trees`] of `gates` with the other numbers.
    pub fn walk_trees(&self, gates: &dyn GateSet, x: &Tensor) -> Option<Vec<TreeWalk>> {
        let mut walks = gates.walk_trees(x)?;
        for (gate, walk) in walks.iter_mut().enumerate() {
            walk.relabel(self.of_gate(gate));
        }
        Some(walks)
    }

    /// What `gates` promise with the other numbers.
    pub fn properties(&self, gates: &dyn GateSet) -> Vec<Properties> {
        let n = gates.num_experts();
        let mut properties = gates.properties();
        if let Share::Part(parts) = self.share {
            for properties in &mut properties {
                // Several experts are made of one, and parts that met in one may come apart.
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
}

/// Whether these are the numbers below their count, each once.
fn is_permutation(labels: &[u32]) -> bool {
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

/// The routing of a gate that is no sum of parts under the mean of M permutations: each weight is divided among the M
/// numbers of its expert.
fn spread<'t>(routing: Routing<'t>, labels: &[Vec<u32>]) -> Routing<'t> {
    let assignments = &routing.assignments;
    let (rows, n, count) = (assignments.rows(), assignments.num_experts(), labels.len());
    // Where a part has no weight, the zero behind the weights of all pairs.
    let pairs = assignments.pairs();
    let mut from = Buffer::filled(rows * count * n, pairs as u32);
    for row in 0..rows {
        for pair in assignments.pairs_of(row) {
            let expert = assignments.experts()[pair] as usize;
            for (part, labels) in labels.iter().enumerate() {
                from[(row * count + part) * n + labels[expert] as usize] = pair as u32;
            }
        }
    }
    let zero = routing.weights.tape().constant(Tensor::zeros([1, 1]));
    let padded = routing.weights.tape().concat(&[routing.weights.reshape([1, pairs]), zero]);
    let weights = padded.reshape([pairs + 1]).index_select(0, &from);
    let weights = weights.scale(1.0 / count as Real).reshape([rows, count, n]);
    let spread = Parts { weights, aux_losses: Vec::new(), renormalise: false }.into_routing();
    let mut routing = routing;
    routing.observed.load = spread.observed.load;
    (routing.assignments, routing.weights) = (spread.assignments, spread.weights);
    routing
}

/// [`spread`] in place.
fn spread_buf(out: &mut RoutingBuf, labels: &[Vec<u32>], scratch: &mut Scratch) {
    let (n, count) = (out.num_experts(), labels.len());
    let mut parts = std::mem::take(&mut scratch.parts);
    parts.resize_with(parts.len().max(1), PartsBuf::default);
    let weights = parts[0].resize(out.rows(), count, n);
    weights.fill(0.0);
    let share = 1.0 / count as Real;
    for (row, weights) in weights.chunks_exact_mut(count * n).enumerate() {
        for (expert, weight) in out.row(row) {
            for (part, labels) in weights.chunks_exact_mut(n).zip(labels) {
                part[labels[expert as usize] as usize] = weight * share;
            }
        }
    }
    out.sum_parts(&parts[0]);
    scratch.parts = parts;
}
