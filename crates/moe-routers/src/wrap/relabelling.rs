//! Permutes the expert indices of gates: weights are moved, nothing is computed.

use moe_core::dispatch::Assignments;
use moe_core::smallvec::SmallVec;
use moe_core::tape::Var;
use moe_core::{Buffer, Pass, Real, StateMut, StateRef, Tensor, Visit, VisitMut};
use serde::{Deserialize, Serialize};

use crate::gate_set::{GateSet, GatesOfParts};
use crate::parts::Parts;
use crate::properties::{Cardinality, Properties};
use crate::routers::comet::tree_walk::TreeWalk;
use crate::routing::{Routing, Routings};

/// Which gates of a layer share a permutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Share {
    /// One permutation for all gates, as published.
    All,
    /// One permutation per gate.
    Gate,
    /// This many permutations per gate. If gates are sums of that many parts (COMET's trees, DSelect-k's selectors),
    /// part t has the t-th; a gate that is not a sum of parts has the mean of its permutations, so that each of its
    /// experts becomes several.
    Part(usize),
}

impl Share {
    /// Number of permutations (M) for this many gates.
    pub fn count(self, gates: usize) -> usize {
        match self {
            Share::All => 1,
            Share::Gate => gates,
            Share::Part(parts) => gates * parts,
        }
    }

    /// Indices of the permutations of a gate.
    pub fn of_gate(self, gate: usize) -> std::ops::Range<usize> {
        match self {
            Share::All => 0..1,
            Share::Gate => gate..gate + 1,
            Share::Part(parts) => gate * parts..(gate + 1) * parts,
        }
    }
}

/// M permutations of the N experts of a layer's gates, as state that is saved and loaded: expert e of a gate becomes
/// expert `permutation[e]`.
#[derive(Clone, Debug)]
pub struct Relabelling {
    share: Share,
    /// `[M, N]`: the permuted index of each expert.
    buffer: Tensor,
    /// The same as integers; the identity if the buffer does not hold a permutation.
    rows: Vec<Vec<u32>>,
}

impl Relabelling {
    /// Identity permutations.
    pub fn identity(share: Share, gates: usize, experts: usize) -> Self {
        let count = share.count(gates);
        let buffer = Tensor::from_fn([count, experts], |i| (i % experts) as Real);
        Relabelling { share, rows: vec![(0..experts as u32).collect(); count], buffer }
    }

    /// Replaces the permutations.
    ///
    /// # Panics
    /// If there are not M, or one is not a permutation of the N experts.
    pub fn set(&mut self, rows: Vec<Vec<u32>>) {
        let n = self.buffer.cols();
        assert_eq!(rows.len(), self.rows.len(), "another number of permutations");
        rows.iter().for_each(|labels| assert_permutes(labels, n));
        let values = self.buffer.as_mut_slice();
        values.iter_mut().zip(rows.iter().flatten()).for_each(|(v, &label)| *v = label as Real);
        self.rows = rows;
    }

    /// Returns whether every permutation is the identity.
    pub fn is_identity(&self) -> bool {
        self.rows.iter().all(|row| row.is_sorted())
    }

    /// The permutations. A loaded row that is not a permutation counts as the identity.
    pub fn permutations(&self) -> &[Vec<u32>] {
        &self.rows
    }

    /// Reports the permutations as the buffer `permutation.rounded` `[M, N]`.
    pub fn visit(&self, f: &mut Visit<'_>) {
        f(BUFFER, StateRef::Buffer(&self.buffer));
    }

    /// [`Relabelling::visit`], writable.
    pub fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        f(BUFFER, StateMut::Buffer(&mut self.buffer));
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

    /// The parts of `gates`, if each part has a permutation of its own.
    fn per_part<'a>(&self, gates: &'a dyn GateSet) -> Option<&'a dyn GatesOfParts> {
        match self.share {
            Share::Part(_) => gates.as_parts(),
            Share::All | Share::Gate => None,
        }
    }

    /// [`GateSet::route`] of `gates` with permuted expert indices. What the gates observed of their own experts is
    /// nested ([`Observed::inner`](crate::Observed::inner)).
    pub fn route<'t>(&self, gates: &dyn GateSet, pass: &Pass<'_>, x: Var<'t>) -> Routings<'t> {
        let Some(gates) = self.per_part(gates) else {
            let mut routings = gates.route(pass, x);
            for (gate, routing) in routings.iter_mut().enumerate() {
                let own = routing.observed.clone();
                match self.of_gate(gate) {
                    [labels] => permute(routing, labels),
                    several => spread(routing, several),
                }
                routing.observed.wrap(own);
            }
            return routings;
        };
        let parts = gates.route_parts(pass, x);
        let own: SmallVec<[_; 4]> = parts.iter().map(Parts::observed).collect();
        let sums = parts
            .into_iter()
            .enumerate()
            .map(|(gate, parts)| permute_parts(parts, self.of_gate(gate)).into_routing());
        let mut routings = gates.finish(pass, sums.collect());
        routings.iter_mut().zip(own).for_each(|(routing, own)| routing.observed.wrap(own));
        routings
    }

    /// [`GateSet::walk_trees`] of `gates` with permuted expert indices.
    pub fn walk_trees(&self, gates: &dyn GateSet, x: &Tensor) -> Option<Vec<TreeWalk>> {
        let mut walks = gates.walk_trees(x)?;
        for (gate, walk) in walks.iter_mut().enumerate() {
            walk.relabel(self.of_gate(gate));
        }
        Some(walks)
    }

    /// The promises of `gates` with permuted expert indices.
    pub fn properties(&self, gates: &dyn GateSet) -> Vec<Properties> {
        let n = gates.num_experts();
        let mut properties = gates.properties();
        if let Share::Part(parts) = self.share {
            for properties in &mut properties {
                // One expert becomes several, and parts that agreed on an expert may separate.
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

/// Name of the permutations in the state of gates.
const BUFFER: &str = "permutation.rounded";

/// Returns whether these are the integers below their number, each once.
fn is_permutation(labels: &[u32]) -> bool {
    let mut seen = vec![false; labels.len()];
    labels.iter().all(|&label| {
        seen.get_mut(label as usize).is_some_and(|seen| !std::mem::replace(seen, true))
    })
}

fn assert_permutes(labels: &[u32], n: usize) {
    let permutes = labels.len() == n && is_permutation(labels);
    assert!(permutes, "{labels:?} is not a permutation of {n} experts");
}

/// The routing with permuted expert indices: expert e becomes `labels[e]`. Weights are moved, not computed.
///
/// # Panics
/// If `labels` is not a permutation of the N experts.
pub fn relabel_routing<'t>(routing: Routing<'t>, labels: &[u32]) -> Routing<'t> {
    assert_permutes(labels, routing.assignments.num_experts());
    let mut routing = routing;
    permute(&mut routing, labels);
    routing
}

/// [`relabel_routing`] in place, by labels that are known to be a permutation.
fn permute(routing: &mut Routing<'_>, labels: &[u32]) {
    if labels.is_sorted() {
        return;
    }
    let assignments = &routing.assignments;
    let mut order = Buffer::unspecified(assignments.pairs());
    order.iter_mut().enumerate().for_each(|(pair, at)| *at = pair as u32);
    let label = |pair: u32| labels[assignments.experts()[pair as usize] as usize];
    for row in 0..assignments.rows() {
        order[assignments.pairs_of(row)].sort_unstable_by_key(|&pair| label(pair));
    }
    let mut experts = Buffer::unspecified(order.len());
    experts.iter_mut().zip(order.iter()).for_each(|(expert, &pair)| *expert = label(pair));
    let offsets = Buffer::copy_of(assignments.offsets());
    let permuted = Assignments::from_buffers(labels.len(), offsets, experts);
    let permuted = permuted.expect("a permutation keeps experts distinct");
    routing.redirect(Routing::new(permuted, routing.weights.index_select(0, &order)));
}

/// The parts with permuted expert indices, by one permutation per part.
fn permute_parts<'t>(parts: Parts<'t>, labels: &[Vec<u32>]) -> Parts<'t> {
    let [rows, count, n] = parts.shape();
    assert_eq!(count, labels.len(), "permutations for another number of parts");
    let mut from = Buffer::unspecified(count * n);
    for (part, labels) in labels.iter().enumerate() {
        for (expert, &label) in labels.iter().enumerate() {
            from[part * n + label as usize] = (part * n + expert) as u32;
        }
    }
    let weights = parts.weights.reshape([rows, count * n]).index_select(1, &from);
    Parts { weights: weights.reshape([rows, count, n]), ..parts }
}

/// The routing of a gate that is not a sum of parts under the mean of M permutations: each weight is divided among the
/// M permuted indices of its expert.
fn spread<'t>(routing: &mut Routing<'t>, labels: &[Vec<u32>]) {
    let assignments = &routing.assignments;
    let (rows, n, count) = (assignments.rows(), assignments.num_experts(), labels.len());
    // A part without a weight takes the zero that follows the weights of all pairs.
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
    routing.redirect(spread);
}
