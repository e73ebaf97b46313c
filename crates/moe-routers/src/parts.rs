use moe_core::dispatch::Assignments;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Buffer, Tensor};

use crate::{AuxLoss, Routing};

/// A gate that is a sum of K parts before it is added up: COMET's trees, DSelect-k's selectors. A permutation of the
/// experts may act on each part.
#[derive(Debug)]
#[must_use]
pub struct Parts<'t> {
    /// `[B, K, N]`: the weight that each part gives each expert; zeros are exact.
    pub weights: Var<'t>,
    /// Terms that the router adds to the loss.
    pub aux_losses: Vec<AuxLoss<'t>>,
}

impl<'t> Parts<'t> {
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
                let is_used = (0..parts).any(|part| weights[part * experts + expert] != 0.0);
                pairs += usize::from(is_used);
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
