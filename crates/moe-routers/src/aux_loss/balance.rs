use moe_core::dispatch::Assignments;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Real, Tensor};

use crate::aux_loss::aux_loss::AuxLoss;
use crate::gate::top_k::top_k_assignments;

/// The load-balancing loss of the Switch Transformer (Fedus and others, 2022, eq. 4), for any number of experts
/// per row: `coefficient · N · Σ_j f_j P_j`, with f_j the fraction of rows that go to expert j and P_j its mean
/// probability. With K experts per row the balanced value is K times the coefficient; without rows it is 0.
///
/// The gradient flows only through P, as published.
///
/// # Shapes
/// `probabilities` `[B, N]` → `[]`
///
/// # Panics
/// If `probabilities` is not `[B, N]`.
pub fn load_balance<'t>(
    probabilities: Var<'t>,
    assignments: &Assignments,
    coefficient: Real,
) -> AuxLoss<'t> {
    let (rows, n) = (assignments.rows(), assignments.num_experts());
    assert_eq!(probabilities.shape()[..], [rows, n], "load_balance: probabilities must be [B, N]");
    let count = rows.max(1) as Real;
    let factor = coefficient * n as Real / (count * count);
    let load = assignments.load();
    let share = Tensor::from_fn([n], |j| load[j] as Real * factor);
    let weighted = probabilities * probabilities.tape().constant(share);
    AuxLoss { name: "load-balance", value: weighted.sum() }
}

/// [`load_balance`] that counts only the most probable expert of each row, whatever its assignments (Lepikhin and
/// others, GShard, 2021, algorithm 1).
///
/// # Shapes
/// `probabilities` `[B, N]` → `[]`
pub fn load_balance_top1<'t>(probabilities: Var<'t>, coefficient: Real) -> AuxLoss<'t> {
    let first = top_k_assignments(&probabilities.value(), 1);
    load_balance(probabilities, &first, coefficient)
}

/// The importance loss: `coefficient · CV(Σ_b p_b)²`, the squared coefficient of variation over experts of their total
/// probability (Riquelme and others, V-MoE, 2021, eq. 6-7; after Shazeer and others, 2017, eq. 6-7, where the
/// sum is over the sparse weights, [`importance_of_weights`]). It is 0 if balanced or without rows.
///
/// # Shapes
/// `probabilities` `[B, N]` → `[]`
pub fn importance<'t>(probabilities: Var<'t>, coefficient: Real) -> AuxLoss<'t> {
    AuxLoss { name: "importance", value: spread_of_columns(probabilities).scale(coefficient) }
}

/// The importance loss of Shazeer and others, 2017 (eq. 6-7): [`importance`] of the weights of the experts.
///
/// # Shapes
/// `weights` `[pairs]` → `[]`
///
/// # Panics
/// If there is not one weight per pair.
pub fn importance_of_weights<'t>(
    weights: Var<'t>,
    assignments: &Assignments,
    coefficient: Real,
) -> AuxLoss<'t> {
    assert_eq!(weights.shape().size(), assignments.pairs(), "importance: one weight per pair");
    let sums = weights.tape().apply(ExpertSums { assignments: assignments.clone() }, &[weights]);
    let spread = if assignments.pairs() == 0 { sums.sum() } else { squared_cv(sums) };
    AuxLoss { name: "importance", value: spread.scale(coefficient) }
}

/// The squared coefficient of variation of the column sums of a matrix; 0 without rows.
///
/// # Shapes
/// `[B, N]` → `[]`
pub(super) fn spread_of_columns(matrix: Var<'_>) -> Var<'_> {
    let rows = matrix.shape()[0];
    if rows == 0 {
        return matrix.sum();
    }
    squared_cv(matrix.tape().constant(Tensor::full([1, rows], 1.0)).matmul(matrix))
}

/// Variance over squared mean.
fn squared_cv(values: Var<'_>) -> Var<'_> {
    let one = values.tape().constant(Tensor::scalar(1.0));
    (values / values.mean() - one).powi(2).mean()
}

/// Sum of the values of each expert's pairs: `[pairs]` → `[N]`.
struct ExpertSums {
    assignments: Assignments,
}

impl Operator for ExpertSums {
    fn name(&self) -> &'static str {
        "expert_sums"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let mut sums = Tensor::zeros([self.assignments.num_experts()]);
        let values = sums.as_mut_slice();
        for (&expert, value) in self.assignments.experts().iter().zip(inputs[0].as_slice()) {
            values[expert as usize] += value;
        }
        sums
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (experts, cotangent) = (self.assignments.experts(), at.cotangent.as_slice());
        let shape = *at.inputs[0].shape();
        gradients.add(0, Tensor::from_fn(shape, |pair| cotangent[experts[pair] as usize]));
    }
}
