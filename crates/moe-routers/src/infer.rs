use moe_core::dispatch::Assignments;
use moe_core::tape::Tape;
use moe_core::{Mode, Pass, Real};

use crate::Routing;

/// What a router decided for B rows, without a tape: compressed sparse rows in memory that is used again.
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
    /// Forgets all rows, for a routing among `num_experts`. The memory stays.
    pub fn clear(&mut self, num_experts: usize) {
        self.num_experts = num_experts;
        self.offsets.truncate(1);
        self.experts.clear();
        self.weights.clear();
    }

    /// Adds a row; its experts must ascend.
    ///
    /// # Panics
    /// If an expert is not above the one before it and below N.
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

    /// Takes over the numbers of a routing.
    pub fn copy_from(&mut self, routing: &Routing<'_>) {
        let Routing { assignments, weights, .. } = routing;
        self.clear(assignments.num_experts());
        self.offsets.extend_from_slice(&assignments.offsets()[1..]);
        self.experts.extend_from_slice(assignments.experts());
        self.weights.extend_from_slice(weights.value().as_slice());
    }

    /// N.
    pub fn num_experts(&self) -> usize {
        self.num_experts
    }

    /// B.
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Where each row begins in the experts and weights; B + 1 numbers.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// The experts of all rows, one after the other.
    pub fn experts(&self) -> &[u32] {
        &self.experts
    }

    /// Their weights.
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

    /// A copy as [`Assignments`], for an expert plan.
    pub fn assignments(&self) -> Assignments {
        Assignments::new(self.num_experts, self.offsets.clone(), self.experts.clone())
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Working memory of [`Router::infer`](crate::Router::infer), kept by the caller from call to call.
#[derive(Debug)]
pub struct Scratch {
    tape: Tape,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch { tape: Tape::inference() }
    }
}

impl Scratch {
    /// Calls `f` with an empty tape for inference, and clears it afterwards, so that its buffers go back to the pool.
    pub fn with_tape<T>(&mut self, f: impl FnOnce(&Tape) -> T) -> T {
        let result = f(&self.tape);
        self.tape.clear();
        result
    }
}

/// The pass of rows about which nothing but their keys is known.
pub(crate) fn inference_pass(keys: &[u64]) -> Pass<'_> {
    Pass { mode: Mode::Infer, seed: 0, step: 0, epoch: 0, row_ids: keys, keys, experts: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moe_core::Tensor;

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
    #[should_panic(expected = "expert 4 of 4")]
    fn experts_must_exist() {
        let mut buf = RoutingBuf::default();
        buf.clear(4);
        buf.push_row([(4, 1.0)]);
    }

    #[test]
    fn a_tape_is_empty_again_after_use() {
        let mut scratch = Scratch::default();
        let mut rows = Tensor::zeros([1, 4]);
        let address = rows.as_slice().as_ptr();
        scratch.with_tape(|tape| tape.constant(rows.clone()).value());
        // Nobody else holds the buffer, so that writing to it does not copy.
        rows.as_mut_slice()[0] = 1.0;
        assert_eq!(rows.as_slice().as_ptr(), address);
    }
}
