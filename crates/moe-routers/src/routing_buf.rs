use moe_core::Real;
use moe_core::dispatch::Assignments;

use crate::gate::top_k::top_k_indices;
use crate::parts::is_used;
use crate::parts_buf::PartsBuf;
use crate::routing::Routing;

/// The decision of a router for B rows, without a tape: compressed sparse rows in a reusable buffer.
///
/// ```
/// use moe_core::Tensor;
/// use moe_routers::{GateSpec, Router, RoutingBuf, Scratch, TopK};
///
/// let router = TopK::new(&GateSpec { inputs: 3, experts: 4, k: 2, seed: 1, gate: 0 }, 0.0);
/// let (mut out, mut scratch) = (RoutingBuf::default(), Scratch::default());
/// let mut row = Tensor::zeros([1, 3]);
/// for key in 0..10 {
///     row.as_mut_slice()[0] = key as moe_core::Real;
///     router.infer(&row, &[key], &mut out, &mut scratch);
///     let total: moe_core::Real = out.row(0).map(|(_expert, weight)| weight).sum();
///     assert_eq!((out.experts().len(), (total * 1e6).round()), (2, 1e6));
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RoutingBuf {
    num_experts: usize,
    offsets: Vec<u32>,
    experts: Vec<u32>,
    weights: Vec<Real>,
}

impl Default for RoutingBuf {
    /// No rows.
    fn default() -> Self {
        RoutingBuf { num_experts: 0, offsets: vec![0], experts: Vec::new(), weights: Vec::new() }
    }
}

impl RoutingBuf {
    /// Removes all rows, for a routing among `num_experts`. The memory is kept.
    pub fn clear(&mut self, num_experts: usize) {
        self.num_experts = num_experts;
        self.offsets.truncate(1);
        self.experts.clear();
        self.weights.clear();
    }

    /// Adds a row, whose experts must ascend.
    ///
    /// # Panics
    /// If an expert is not above the previous one, or not below N.
    pub fn push_row(&mut self, pairs: impl IntoIterator<Item = (u32, Real)>) {
        let start = self.experts.len();
        for (expert, weight) in pairs {
            let least = self.experts[start..].last().map_or(0, |last| last + 1);
            assert!(
                (least..self.num_experts as u32).contains(&expert),
                "expert {expert} of {}, after those below {least}",
                self.num_experts
            );
            self.experts.push(expert);
            self.weights.push(weight);
        }
        self.offsets.push(self.experts.len() as u32);
    }

    /// Makes room for this many pairs, so that a varying number does not allocate.
    fn reserve(&mut self, pairs: usize) {
        self.experts.reserve(pairs);
        self.weights.reserve(pairs);
    }

    /// Copies a routing.
    pub fn copy_from(&mut self, routing: &Routing<'_>) {
        let Routing { assignments, weights, .. } = routing;
        self.clear(assignments.num_experts());
        self.offsets.extend_from_slice(&assignments.offsets()[1..]);
        self.experts.extend_from_slice(assignments.experts());
        self.weights.extend_from_slice(weights.value().as_slice());
    }

    /// Sets every expert for each row, with the weights that `fill` writes, `[B, N]`.
    pub(crate) fn set_dense(&mut self, num_experts: usize, fill: impl FnOnce(&mut Vec<Real>)) {
        self.clear(num_experts);
        fill(&mut self.weights);
        for row in 1..=self.weights.len() / num_experts {
            self.experts.extend(0..num_experts as u32);
            self.offsets.push((row * num_experts) as u32);
        }
    }

    /// Sets the K largest scores of each row, of equal ones the earlier, with the scores as weights.
    ///
    /// # Shapes
    /// `scores` `[B, N]`
    pub(crate) fn set_largest(&mut self, scores: &[Real], num_experts: usize, k: usize) {
        self.clear(num_experts);
        let rows = scores.len() / num_experts;
        self.experts.resize(rows * k, 0);
        let chosen = self.experts.chunks_exact_mut(k);
        for (scores, chosen) in scores.chunks_exact(num_experts).zip(chosen) {
            top_k_indices(scores, chosen);
            chosen.sort_unstable();
        }
        self.offsets.extend((1..=rows).map(|row| (row * k) as u32));
        self.gather(scores);
    }

    /// Sets the weights of the pairs to the entries of a matrix.
    ///
    /// # Shapes
    /// `values` `[B, N]`
    pub(crate) fn gather(&mut self, values: &[Real]) {
        self.weights.resize(self.experts.len(), 0.0);
        let n = self.num_experts;
        self.for_rows(|row, experts, weights| {
            let values = &values[row * n..(row + 1) * n];
            for (weight, &expert) in weights.iter_mut().zip(experts) {
                *weight = values[expert as usize];
            }
        });
    }

    /// Sets the entries of a matrix that are not zero.
    ///
    /// # Shapes
    /// `weights` `[B, N]`
    pub(crate) fn set_sparse(&mut self, weights: &[Real], num_experts: usize) {
        self.clear(num_experts);
        self.reserve(weights.len());
        for row in weights.chunks_exact(num_experts) {
            let pairs = (0..).zip(row.iter().copied());
            self.push_row(pairs.filter(|&(_, weight)| weight != 0.0));
        }
    }

    /// Sets the sum of the parts, as [`Parts::into_routing`](crate::Parts::into_routing) computes it.
    pub(crate) fn sum_parts(&mut self, parts: &PartsBuf) {
        self.clear(parts.experts());
        self.reserve(parts.rows() * parts.experts());
        for row in 0..parts.rows() {
            let weights = parts.row(row);
            let experts = 0..parts.experts();
            let used = experts.filter(|&expert| is_used(weights, parts.experts(), expert));
            self.push_row(used.map(|expert| {
                let of_parts = weights[expert..].iter().step_by(parts.experts());
                (expert as u32, of_parts.fold(0.0, |sum, weight| sum + weight))
            }));
        }
    }

    /// Keeps only these pairs, in ascending order.
    pub(crate) fn keep(&mut self, pairs: &[u32]) {
        let mut kept = 0;
        for row in 0..self.rows() {
            let end = self.offsets[row + 1];
            while kept < pairs.len() && pairs[kept] < end {
                let pair = pairs[kept] as usize;
                (self.experts[kept], self.weights[kept]) = (self.experts[pair], self.weights[pair]);
                kept += 1;
            }
            self.offsets[row + 1] = kept as u32;
        }
        self.experts.truncate(kept);
        self.weights.truncate(kept);
    }

    /// Calls `f(row, its experts, their weights)` for every row.
    pub(crate) fn for_rows(&mut self, mut f: impl FnMut(usize, &[u32], &mut [Real])) {
        for (row, bounds) in self.offsets.windows(2).enumerate() {
            let pairs = bounds[0] as usize..bounds[1] as usize;
            f(row, &self.experts[pairs.clone()], &mut self.weights[pairs]);
        }
    }

    /// The weights of all pairs.
    pub(crate) fn weights_mut(&mut self) -> &mut [Real] {
        &mut self.weights
    }

    /// Permutes the expert indices: expert e becomes `labels[e]`. Weights move with their experts, unchanged.
    ///
    /// # Panics
    /// If there are not N labels, one is not below N, or two experts of a row get the same.
    pub(crate) fn relabel(&mut self, labels: &[u32]) {
        assert_eq!(labels.len(), self.num_experts, "one label per expert");
        for row in 0..self.rows() {
            let pairs = self.offsets[row] as usize..self.offsets[row + 1] as usize;
            let (experts, weights) = (&mut self.experts[pairs.clone()], &mut self.weights[pairs]);
            for at in 0..experts.len() {
                let (expert, weight) = (labels[experts[at] as usize], weights[at]);
                assert!(expert < labels.len() as u32, "label {expert} of {}", labels.len());
                let mut to = at;
                while to > 0 && experts[to - 1] > expert {
                    (experts[to], weights[to]) = (experts[to - 1], weights[to - 1]);
                    to -= 1;
                }
                assert!(to == 0 || experts[to - 1] < expert, "label {expert} twice in a row");
                (experts[to], weights[to]) = (expert, weight);
            }
        }
    }

    /// Number of experts (N).
    pub fn num_experts(&self) -> usize {
        self.num_experts
    }

    /// Number of rows (B).
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Start of each row in the experts and weights, and their end.
    ///
    /// # Shapes
    /// → `[B + 1]`
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// The experts of all rows, row after row.
    pub fn experts(&self) -> &[u32] {
        &self.experts
    }

    /// The weights of all rows, row after row.
    pub fn weights(&self) -> &[Real] {
        &self.weights
    }

    /// The experts of a row and their weights.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (u32, Real)> + '_ {
        let pairs = self.offsets[row] as usize..self.offsets[row + 1] as usize;
        self.experts[pairs.clone()].iter().copied().zip(self.weights[pairs].iter().copied())
    }

    /// The experts as [`Assignments`], copied.
    pub fn assignments(&self) -> Assignments {
        Assignments::new(self.num_experts, self.offsets.clone(), self.experts.clone())
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moe_core::Tensor;
    use moe_core::tape::Tape;

    #[test]
    fn rows_are_pushed_and_read() {
        let mut buf = RoutingBuf::default();
        assert_eq!((buf.rows(), buf.offsets()), (0, &[0][..]));
        buf.clear(4);
        buf.push_row([(0, 0.25), (3, 0.75)]);
        buf.push_row([]);
        buf.push_row([(2, 1.0)]);
        assert_eq!((buf.num_experts(), buf.rows(), buf.offsets()), (4, 3, &[0, 2, 2, 3][..]));
        assert_eq!(buf.row(0).collect::<Vec<_>>(), [(0, 0.25), (3, 0.75)]);
        assert_eq!(buf.row(1).count(), 0);
        assert_eq!(buf.assignments(), Assignments::from_rows(4, [vec![0, 3], vec![], vec![2]]));

        let tape = Tape::inference();
        let weights = tape.constant(Tensor::new([2], vec![0.5, 1.0]));
        let routing = Routing::new(Assignments::from_rows(3, [[2], [1]]), weights);
        buf.copy_from(&routing);
        assert_eq!((buf.num_experts(), buf.rows()), (3, 2));
        assert_eq!((buf.experts(), buf.weights()), (&[2, 1][..], &[0.5, 1.0][..]));
    }

    #[test]
    #[should_panic(expected = "expert 1 of 4, after those below 3")]
    fn experts_of_a_row_must_ascend() {
        let mut buf = RoutingBuf::default();
        buf.clear(4);
        buf.push_row([(2, 0.5), (1, 0.5)]);
    }

    #[test]
    fn labels_move_weights_with_their_experts() {
        let mut buf = RoutingBuf::default();
        buf.clear(4);
        buf.push_row([(0, 0.1), (1, 0.2), (3, 0.7)]);
        buf.push_row([]);
        buf.push_row([(2, 1.0)]);
        buf.relabel(&[3, 0, 1, 2]);
        assert_eq!(buf.row(0).collect::<Vec<_>>(), [(0, 0.2), (2, 0.7), (3, 0.1)]);
        assert_eq!((buf.row(1).count(), buf.row(2).collect::<Vec<_>>()), (0, vec![(1, 1.0)]));
    }

    #[test]
    #[should_panic(expected = "label 1 twice in a row")]
    fn labels_of_a_row_differ() {
        let mut buf = RoutingBuf::default();
        buf.clear(3);
        buf.push_row([(0, 0.5), (2, 0.5)]);
        buf.relabel(&[1, 0, 1]);
    }

    #[test]
    #[should_panic(expected = "expert 4 of 4")]
    fn experts_must_exist() {
        let mut buf = RoutingBuf::default();
        buf.clear(4);
        buf.push_row([(4, 1.0)]);
    }
}
