//! Terms that routers add to the loss.
//!
//! | term | of | keeps small |
//! | --- | --- | --- |
//! | [`load_balance`], [`load_balance_top1`] | probabilities, assignments | differences in the experts' numbers of rows |
//! | [`importance`], [`importance_of_weights`] | probabilities, weights | differences in the experts' total weight |
//! | [`load`], [`load_with_noise`] | logits with noise | differences in the experts' expected numbers of rows |
//! | [`trimmed_lasso`] | probabilities | the mass outside the K largest |
//! | [`router_z`] | logits | the size of logits |
//! | [`entropy`] | logits | the entropy of a row's probabilities |
//!
//! Each returns an [`AuxLoss`], its coefficient applied. [`AuxOptions`] are those that a router offers as parameters.

mod balance;
mod load;
mod options;
mod rows;

pub use balance::{importance, importance_of_weights, load_balance, load_balance_top1};
pub use load::{load, load_with_noise};
pub use options::AuxOptions;
pub use rows::{entropy, router_z, trimmed_lasso};

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
