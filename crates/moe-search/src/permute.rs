//! Gates under soft permutations, dense matrices that mix the experts.

use moe_core::dispatch::Assignments;
use moe_core::kernel::for_row_blocks;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Real, Tensor};
use moe_routers::{Parts, Routing};

/// The routing of a gate that is a sum of parts, with part t multiplied by matrix t: g = Σ_t w_t P_t for row vectors
/// w_t. A row is then divided by its sum if [`Parts::renormalise`] is set. This permutes COMET's trees and DSelect-k's
/// selectors.
///
/// # Shapes
/// parts `[B, K, N]`, `matrices` `[1, N, N]` (one for all parts) or `[K, N, N]`
///
/// # Panics
/// If the shapes do not fit.
pub fn permute_parts<'t>(parts: Parts<'t>, matrices: Var<'t>) -> Routing<'t> {
    let [rows, count, n] = parts.shape();
    let shape = matrices.shape();
    assert!(
        shape[..] == [1, n, n] || shape[..] == [count, n, n],
        "permute_parts: matrices {shape:?} for {count} parts of {n} experts"
    );
    let mixed = match shape[0] {
        1 => parts.weights.sum_axis(1).matmul(matrices.reshape([n, n])),
        _ => parts.weights.reshape([rows, count * n]).matmul(matrices.reshape([count * n, n])),
    };
    let mut routing = sparse(mixed, parts.renormalise);
    routing.aux_losses = parts.aux_losses;
    routing
}

/// The routing of a gate with one weight per expert, multiplied by the mean of the matrices: g = w mean(P). With
/// `renormalise`, a row is then divided by its sum. This permutes top-k and hash gates. Auxiliary losses, telemetry and
/// observations other than the load stay those of the gate.
///
/// # Shapes
/// `matrices` `[M, N, N]`
///
/// # Panics
/// If the shapes do not fit.
pub fn permute_routing<'t>(
    routing: Routing<'t>,
    matrices: Var<'t>,
    renormalise: bool,
) -> Routing<'t> {
    let n = routing.assignments.num_experts();
    let shape = matrices.shape();
    assert!(
        shape.rank() == 3 && shape[0] > 0 && shape[1..] == [n, n],
        "permute_routing: matrices {shape:?} for {n} experts"
    );
    let mean = match shape[0] {
        1 => matrices.reshape([n, n]),
        _ => matrices.mean_axis(0),
    };
    let scatter = Scatter { assignments: routing.assignments.clone() };
    let dense = routing.weights.tape().apply(scatter, &[routing.weights]);
    let mixed = sparse(dense.matmul(mean), renormalise);
    let mut routing = routing;
    routing.redirect(mixed);
    routing
}

/// The entries of the matrices that are at least `threshold` times the largest of their row. The others become exactly
/// zero, so that no expert is computed for them.
pub(crate) fn drop_small(matrices: Var<'_>, threshold: Real) -> Var<'_> {
    let mut kept = matrices.value();
    let n = kept.cols();
    for row in kept.as_mut_slice().chunks_exact_mut(n) {
        let least = threshold * row.iter().copied().fold(0.0, Real::max);
        row.iter_mut().for_each(|v| *v = if *v >= least { 1.0 } else { 0.0 });
    }
    matrices * matrices.tape().constant(kept)
}

/// The routing with the nonzero entries of a matrix, optionally divided by their sum in each row.
fn sparse<'t>(dense: Var<'t>, renormalise: bool) -> Routing<'t> {
    let values = dense.value();
    let (rows, n, values) = (values.rows(), values.cols(), values.as_slice());
    let assignments = Assignments::from_fn(rows, n, |row, expert| values[row * n + expert] != 0.0);
    let gather = Gather { assignments: assignments.clone(), renormalise };
    let weights = dense.tape().apply(gather, &[dense]);
    Routing::new(assignments, weights)
}

/// The weights of pairs as a dense matrix: `[pairs]` → `[B, N]`.
struct Scatter {
    assignments: Assignments,
}

impl Operator for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        self.assignments.to_dense(inputs[0])
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut gradient = Tensor::unspecified(*at.inputs[0].shape());
        let (values, assignments) = (gradient.as_mut_slice(), &self.assignments);
        for row in 0..assignments.rows() {
            let cotangent = at.cotangent.row(row);
            for pair in assignments.pairs_of(row) {
                values[pair] = cotangent[assignments.experts()[pair] as usize];
            }
        }
        gradients.add(0, gradient);
    }
}

/// The entries of a dense matrix at pairs, optionally divided by their sum in each row: `[B, N]` → `[pairs]`.
struct Gather {
    assignments: Assignments,
    renormalise: bool,
}

impl Operator for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let assignments = &self.assignments;
        let mut out = Tensor::unspecified([assignments.pairs()]);
        let weights = out.as_mut_slice();
        for row in 0..assignments.rows() {
            let (dense, pairs) = (inputs[0].row(row), assignments.pairs_of(row));
            let weights = &mut weights[pairs];
            for (weight, &expert) in weights.iter_mut().zip(assignments.of_row(row)) {
                *weight = dense[expert as usize];
            }
            if self.renormalise {
                let sum: Real = weights.iter().sum();
                weights.iter_mut().for_each(|weight| *weight /= sum);
            }
        }
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (dense, assignments) = (at.inputs[0], &self.assignments);
        let (weights, cotangent) = (at.output.as_slice(), at.cotangent.as_slice());
        let mut gradient = Tensor::zeros(*dense.shape());
        let cols = dense.cols();
        for_row_blocks(gradient.as_mut_slice(), cols, |first, block| {
            for (r, out) in block.chunks_exact_mut(cols).enumerate() {
                let (row, mut mean, mut sum) = (first + r, 0.0, 1.0);
                let pairs = assignments.pairs_of(row);
                if self.renormalise {
                    mean = pairs.clone().map(|pair| weights[pair] * cotangent[pair]).sum();
                    let experts = assignments.of_row(row).iter();
                    sum = experts.map(|&expert| dense.row(row)[expert as usize]).sum();
                }
                for pair in pairs {
                    let expert = assignments.experts()[pair] as usize;
                    out[expert] = (cotangent[pair] - mean) / sum;
                }
            }
        });
        gradients.add(0, gradient);
    }
}
