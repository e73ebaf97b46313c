use moe_core::dispatch::Assignments;
use moe_core::smallvec::SmallVec;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Real, Tensor};

use crate::aux_loss::aux_loss::AuxLoss;
use crate::observed::Observed;
use crate::routing::Routing;

/// The parts of each gate of a layer. Up to four gates take no memory from the heap.
pub type PartsOfGates<'t> = SmallVec<[Parts<'t>; 4]>;

/// The parts of a gate that is a sum of K parts ([`SumOfParts`](crate::SumOfParts)), before they are added up.
#[derive(Debug)]
#[must_use]
pub struct Parts<'t> {
    /// `[B, K, N]`: the weight that each part gives each expert; zeros are exact.
    pub weights: Var<'t>,
    /// Terms that the router adds to the loss.
    pub aux_losses: Vec<AuxLoss<'t>>,
    /// Whether the weights of a row are divided by their sum after a soft permutation, which does not preserve it:
    /// COMET's are, DSelect-k's are not.
    pub renormalise: bool,
}

impl<'t> Parts<'t> {
    /// Shape of the weights: B, K and N.
    ///
    /// # Panics
    /// If they have another number of dimensions.
    pub fn shape(&self) -> [usize; 3] {
        match self.weights.shape()[..] {
            [rows, parts, experts] => [rows, parts, experts],
            ref shape => panic!("parts have the shape [B, K, N], not {shape:?}"),
        }
    }

    /// The pairs to which some part gives a weight.
    fn assignments(&self) -> Assignments {
        let ([rows, parts, experts], weights) = (self.shape(), self.weights.value());
        let weights = weights.as_slice();
        Assignments::from_fn(rows, experts, |row, expert| {
            let start = row * parts * experts;
            is_used(&weights[start..start + parts * experts], experts, expert)
        })
    }

    /// What the gate observes of its own experts, for a wrapper that permutes them part by part. The load counts the
    /// rows to which some part gives an expert a weight. Nothing is observed on a tape that does not record.
    pub fn observed(&self) -> Observed {
        if !self.weights.tape().is_recording() {
            return Observed::default();
        }
        let assignments = self.assignments();
        Observed::of_load(assignments.rows(), assignments.load())
    }

    /// The sum of the parts. An expert to which no part gives a weight is not assigned.
    pub fn into_routing(self) -> Routing<'t> {
        let assignments = self.assignments();
        let sum = SumParts { assignments: assignments.clone() };
        let weights = self.weights.tape().apply(sum, &[self.weights]);
        let mut routing = Routing::new(assignments, weights);
        routing.aux_losses = self.aux_losses;
        routing
    }
}

/// Returns whether some part of a row `[K, N]` gives an expert a weight.
fn is_used(row: &[Real], experts: usize, expert: usize) -> bool {
    row[expert..].iter().step_by(experts).any(|&weight| weight != 0.0)
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
