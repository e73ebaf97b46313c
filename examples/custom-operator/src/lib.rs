//! Your own operator: the Huber loss, with its backward rule beside its forward rule.

use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Real, Tensor};

/// Mean over the rows of e² / 2 for errors e with |e| ≤ 1, and of |e| - 1/2 for larger ones (Huber, 1964).
struct Huber {
    targets: Vec<Real>,
}

impl Operator for Huber {
    fn name(&self) -> &'static str {
        "huber"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let loss = |e: Real| if e.abs() <= 1.0 { e * e / 2.0 } else { e.abs() - 0.5 };
        let errors = inputs[0].as_slice().iter().zip(&self.targets).map(|(x, t)| loss(x - t));
        Tensor::scalar(errors.sum::<Real>() / self.targets.len() as Real)
    }

    /// The error, clamped to ±1, divided by the number of rows.
    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let factor = at.cotangent.item() / self.targets.len() as Real;
        let mut dx = at.inputs[0].clone();
        for (x, t) in dx.as_mut_slice().iter_mut().zip(&self.targets) {
            *x = factor * (*x - t).clamp(-1.0, 1.0);
        }
        gradients.add(0, dx);
    }
}

/// The loss of predictions `[B]` or `[B, 1]` against B targets: `[]`.
///
/// # Panics
/// If there is not one target per prediction.
pub fn huber<'t>(predictions: Var<'t>, targets: &[Real]) -> Var<'t> {
    assert_eq!(predictions.shape().size(), targets.len(), "one target per prediction");
    predictions.tape().apply(Huber { targets: targets.to_vec() }, &[predictions])
}
