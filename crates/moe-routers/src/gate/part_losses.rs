use moe_core::kernel::for_row_blocks2;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Real, Tensor};

use crate::aux_loss::aux_loss::AuxLoss;

/// Added to a probability before its logarithm or its reciprocal is taken.
const EPSILON: Real = 1e-6;

/// The form in which the entropy of probabilities is kept finite.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EntropyForm {
    /// Σ -p ln(p + 1e-6)
    Shifted,
    /// Σ -(q + 1e-6) ln(q + 1e-6) with q = max(p, 1e-6)
    Floored,
}

impl EntropyForm {
    /// The term of a probability, and its derivative.
    fn term(self, p: Real) -> (Real, Real) {
        match self {
            // The gradient of a zero never reaches a parameter: the split that made the zero is flat.
            EntropyForm::Shifted if p == 0.0 => (0.0, 0.0),
            EntropyForm::Shifted => {
                let log = (p + EPSILON).ln();
                (-p * log, -log - p / (p + EPSILON))
            }
            EntropyForm::Floored => {
                let q = p.max(EPSILON) + EPSILON;
                let log = q.ln();
                (-q * log, if p > EPSILON { -log - 1.0 } else { 0.0 })
            }
        }
    }
}

/// The sum of the losses of all parts, whose gradient is computed in the forward pass.
struct PartLoss<F> {
    name: &'static str,
    /// Writes the gradient of the loss of one part and returns the loss.
    rule: F,
    factor: Real,
    gradient: Option<Tensor>,
}

impl<F> Operator for PartLoss<F>
where
    F: Fn(&[Real], &mut [Real]) -> Real + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let (p, cols) = (inputs[0], inputs[0].cols());
        let mut gradient = Tensor::unspecified(*p.shape());
        let mut losses = Tensor::zeros([p.rows()]);
        let outputs = ((gradient.as_mut_slice(), cols), (losses.as_mut_slice(), 1));
        for_row_blocks2(outputs.0, outputs.1, |first, gradient, losses| {
            for (r, (d, loss)) in gradient.chunks_exact_mut(cols).zip(losses).enumerate() {
                *loss = (self.rule)(p.row(first + r), d);
                d.iter_mut().for_each(|d| *d *= self.factor);
            }
        });
        self.gradient = Some(gradient);
        let sum: f64 = losses.as_slice().iter().map(|&loss| f64::from(loss)).sum();
        Tensor::scalar(sum as Real * self.factor)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let gradient = self.gradient.as_ref().expect("forward has run");
        match at.cotangent.item() {
            1.0 => gradients.add(0, gradient.clone()),
            factor => gradients.add(0, gradient.map(|g| g * factor)),
        }
    }
}

fn part_loss<'t>(
    p: Var<'t>,
    name: &'static str,
    factor: Real,
    rule: impl Fn(&[Real], &mut [Real]) -> Real + Send + Sync + 'static,
) -> AuxLoss<'t> {
    AuxLoss { name, value: p.tape().apply(PartLoss { name, rule, factor, gradient: None }, &[p]) }
}

/// The entropy of the parts of a gate: `coefficient` times the mean over rows of the sum over parts and experts, 0
/// without rows.
///
/// # Shapes
/// `p` `[B, K, N]` → `[]`
pub(crate) fn entropy<'t>(p: Var<'t>, form: EntropyForm, coefficient: Real) -> AuxLoss<'t> {
    let factor = coefficient / p.shape()[0].max(1) as Real;
    part_loss(p, "entropy", factor, move |p, gradient| {
        let terms = p.iter().zip(gradient).map(|(&p, d)| {
            let (term, slope) = form.term(p);
            *d = slope;
            term
        });
        terms.sum()
    })
}

/// A penalty for parts that give their weight to experts that do not exist: `coefficient` times the sum over rows and
/// parts of 1 / (1e-6 + the part's weight on existing experts). It is a sum over the batch, not a mean.
///
/// # Shapes
/// `p` `[B, K, N]` → `[]`
pub(crate) fn reachability<'t>(p: Var<'t>, coefficient: Real) -> AuxLoss<'t> {
    part_loss(p, "reachability", coefficient, |p, gradient| {
        let loss = 1.0 / (EPSILON + p.iter().sum::<Real>());
        gradient.fill(-loss * loss);
        loss
    })
}
