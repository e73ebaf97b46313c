use moe_core::tape::Var;

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
    /// Name in the metrics.
    pub name: &'static str,
    /// `[]`: the value.
    pub value: Var<'t>,
}

/// The loss that training minimises: the loss of the tasks plus all auxiliary terms.
///
/// # Shapes
/// `task_loss` and all terms `[]` → `[]`
pub fn total_loss<'t>(task_loss: Var<'t>, aux_losses: &[AuxLoss<'t>]) -> Var<'t> {
    aux_losses.iter().fold(task_loss, |sum, aux| sum + aux.value)
}
