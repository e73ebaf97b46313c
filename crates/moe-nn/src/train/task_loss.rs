use moe_core::batch::Target;
use moe_core::tape::Var;

/// The loss of one task for a batch: the mean over the rows that count.
///
/// # Shapes
/// `prediction` `[B, outputs of the task]` → `[]`
///
/// # Panics
/// If prediction and target differ in their number of rows, or a class does not exist.
pub fn task_loss<'t>(prediction: Var<'t>, target: &Target) -> Var<'t> {
    match target {
        Target::Binary(values) => prediction.bce_with_logits(values),
        Target::Multiclass(classes) => prediction.cross_entropy(classes),
        Target::Regression { values, present } => prediction.masked_mse(values, present),
    }
}
