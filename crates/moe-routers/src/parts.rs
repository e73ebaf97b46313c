use moe_core::dispatch::Assignments;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Buffer, Real, Tensor};

use crate::aux_loss::AuxLoss;
use crate::router::Router;
use crate::routing::Routing;
use crate::routing_buf::RoutingBuf;
use crate::scratch::Scratch;

/// A gate that is a sum of K parts before it is added up: COMET's trees, DSelect-k's selectors. A permutation of the
/// experts may act on each part.
#[derive(Debug)]
#[must_use]
pub struct Parts<'t> {
    /// `[B, K, N]`: the weight that each part gives each expert; zeros are exact.
    pub weights: Var<'t>,
    /// Terms that the router adds to the loss.
    pub aux_losses: Vec<AuxLoss<'t>>,
    /// Whether a row's weights are divided by their sum after a permutation that does not keep it: COMET's are,
    /// DSelect-k's are not.
    pub renormalise: bool,
}

impl<'t> Parts<'t> {
    /// Rows of each expert: those to which some part gives it a weight.
    ///
    /// # Shapes
    /// → `[N]`
    pub fn load(&self) -> Vec<u32> {
        let weights = self.weights.value();
        let (parts, n) = (weights.shape()[1], weights.cols());
        let mut load = vec![0; n];
        for row in weights.as_slice().chunks_exact((parts * n).max(1)) {
            for (expert, load) in load.iter_mut().enumerate() {
                *load += u32::from(is_used(row, n, expert));
            }
        }
        load
    }

    /// The sum of the parts. An expert that no part gives a weight is not assigned.
    pub fn into_routing(self) -> Routing<'t> {
        let weights = self.weights.value();
        let [rows, parts, experts] = weights.shape()[..] else {
            panic!("parts have the shape [B, K, N], not {:?}", weights.shape())
        };
        let mut chosen = Buffer::unspecified(rows * experts);
        let mut offsets = Buffer::unspecified(rows + 1);
        offsets[0] = 0;
        let mut pairs = 0;
        for row in 0..rows {
            let weights = &weights.as_slice()[row * parts * experts..(row + 1) * parts * experts];
            for expert in 0..experts {
                // Written in any case, kept by moving on.
                chosen[pairs] = expert as u32;
                pairs += usize::from(is_used(weights, experts, expert));
            }
            offsets[row + 1] = pairs as u32;
        }
        chosen.truncate(pairs);
        let assignments = Assignments::from_buffers(experts, offsets, chosen)
            .unwrap_or_else(|error| panic!("{error}"));
        let sum = SumParts { assignments: assignments.clone() };
        let weights = self.weights.tape().apply(sum, &[self.weights]);
        let mut routing = Routing::new(assignments, weights);
        routing.aux_losses = self.aux_losses;
        routing
    }
}

/// Whether some part of a row `[K, N]` gives an expert a weight.
pub(crate) fn is_used(row: &[Real], experts: usize, expert: usize) -> bool {
    row[expert..].iter().step_by(experts).any(|&weight| weight != 0.0)
}

/// The parts of one gate for B rows, without a tape: the weights of [`Parts`] in memory that is used again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartsBuf {
    parts: usize,
    experts: usize,
    weights: Vec<Real>,
}

impl PartsBuf {
    /// Makes room for K parts over N experts for each of B rows, and returns their weights, of unspecified value. The
    /// memory stays.
    ///
    /// # Shapes
    /// → `[B, K, N]`
    pub fn resize(&mut self, rows: usize, parts: usize, experts: usize) -> &mut [Real] {
        (self.parts, self.experts) = (parts, experts);
        self.weights.resize(rows * parts * experts, 0.0);
        &mut self.weights
    }

    /// B.
    pub fn rows(&self) -> usize {
        self.weights.len() / (self.parts * self.experts).max(1)
    }

    /// K.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// N.
    pub fn experts(&self) -> usize {
        self.experts
    }

    /// The weights of a row, part by part.
    ///
    /// # Shapes
    /// → `[K, N]`
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[Real] {
        let size = self.parts * self.experts;
        &self.weights[row * size..(row + 1) * size]
    }

    /// The weights, writable.
    ///
    /// # Shapes
    /// → `[B, K, N]`
    pub fn weights_mut(&mut self) -> &mut [Real] {
        &mut self.weights
    }

    /// Takes over the numbers of parts.
    pub fn copy_from(&mut self, parts: &Parts<'_>) {
        let weights = parts.weights.value();
        let shape = weights.shape();
        self.resize(shape[0], shape[1], shape[2]).copy_from_slice(weights.as_slice());
    }
}

/// [`Router::infer`] of a router that is a sum of parts.
pub(crate) fn infer_sum(
    router: &dyn Router,
    x: &Tensor,
    keys: &[u64],
    out: &mut RoutingBuf,
    scratch: &mut Scratch,
) {
    let mut parts = std::mem::take(&mut scratch.parts);
    parts.resize_with(parts.len().max(1), PartsBuf::default);
    assert!(router.infer_parts(x, keys, &mut parts[0], scratch), "the router is a sum of parts");
    out.sum_parts(&parts[0]);
    scratch.parts = parts;
}

/// The sum over the parts at each assigned pair.
struct SumParts {
    assignments: Assignments,
}

impl SumParts {
    /// Calls `f(pair, position of the pair's weight in a part)` for every pair and part.
    fn for_each(&self, parts: usize, mut f: impl FnMut(usize, usize)) {
        let experts = self.assignments.num_experts();
        for row in 0..self.assignments.rows() {
            for pair in self.assignments.pairs_of(row) {
                let expert = self.assignments.experts()[pair] as usize;
                for part in 0..parts {
                    f(pair, (row * parts + part) * experts + expert);
                }
            }
        }
    }
}

impl Operator for SumParts {
    fn name(&self) -> &'static str {
        "sum_parts"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let mut out = Tensor::zeros([self.assignments.pairs()]);
        let (sums, weights) = (out.as_mut_slice(), inputs[0].as_slice());
        self.for_each(inputs[0].shape()[1], |pair, at| sums[pair] += weights[at]);
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut gradient = Tensor::zeros(*at.inputs[0].shape());
        let (values, cotangent) = (gradient.as_mut_slice(), at.cotangent.as_slice());
        self.for_each(at.inputs[0].shape()[1], |pair, at| values[at] = cotangent[pair]);
        gradients.add(0, gradient);
    }
}
