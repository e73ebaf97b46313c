//! Terms that routers add to the loss.

use moe_core::dispatch::Assignments;
use moe_core::tape::Var;
use moe_core::{Real, Tensor};

/// A named term of the loss, its coefficient already applied.
///
/// ```
/// use moe_core::Tensor;
/// use moe_core::tape::Tape;
/// use moe_routers::aux_loss::{AuxLoss, total_loss};
///
/// let tape = Tape::new();
/// let task = tape.variable(Tensor::scalar(2.0));
/// let entropy = AuxLoss { name: "entropy", value: tape.variable(Tensor::scalar(0.5)) };
/// assert_eq!(total_loss(task, &[entropy]).value().item(), 2.5);
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "an auxiliary loss does nothing until it is added to the loss"]
pub struct AuxLoss<'t> {
    /// Its name in the metrics.
    pub name: &'static str,
    /// `[]`
    pub value: Var<'t>,
}

/// The loss that is minimised: the tasks' loss plus all auxiliary terms.
///
/// # Shapes
/// all `[]` → `[]`
pub fn total_loss<'t>(task_loss: Var<'t>, aux_losses: &[AuxLoss<'t>]) -> Var<'t> {
    aux_losses.iter().fold(task_loss, |sum, aux| sum + aux.value)
}

/// The load-balancing loss of the Switch Transformer (Fedus and others, 2022, eq. 4), for any number of experts
/// per row: `coefficient · N · Σ_j f_j P_j`, with f_j the share of rows that go to expert j and P_j the mean of its
/// probability. With K experts per row the balanced value is K times the coefficient. No rows: 0.
///
/// The gradient flows through P alone, as published.
///
/// # Shapes
/// `probabilities` `[B, N]` → `[]`
///
/// # Panics
/// If the matrix is not B by N.
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
