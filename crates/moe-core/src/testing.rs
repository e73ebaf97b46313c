//! Checks of derivatives by finite differences, for the operators and routers of any crate.

use crate::random::philox::{Philox, unit};
use crate::real::Real;
use crate::tape::tape::{Tape, Var};
use crate::tensor::Tensor;

/// Tolerances of [`gradcheck_with`].
#[derive(Clone, Copy, Debug)]
pub struct GradCheck {
    /// Half the distance between the two points of a central difference.
    pub step: Real,
    /// Allowed |difference| per unit of the larger magnitude of the input's gradient.
    pub relative: Real,
    /// Allowed |difference| in addition.
    pub absolute: Real,
    /// Seed of the random cotangent.
    pub seed: u64,
}

impl Default for GradCheck {
    /// Tight in double precision. In single precision, differences are too coarse for more than a rough check: build with
    /// `moe-core/f64` to verify an operator.
    fn default() -> Self {
        let double = size_of::<Real>() == 8;
        GradCheck {
            step: if double { 1e-5 } else { 1e-2 },
            relative: if double { 1e-7 } else { 3e-2 },
            absolute: if double { 1e-9 } else { 3e-3 },
            seed: 0,
        }
    }
}

/// A derivative that differs from its finite difference.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "gradient of input {input} at element {element}: {analytic} by the backward rule, {numeric} by central difference"
)]
pub struct GradientMismatch {
    /// Index of the input.
    pub input: usize,
    /// Row-major position in the input.
    pub element: usize,
    /// The derivative by the backward rule.
    pub analytic: Real,
    /// The derivative by central difference.
    pub numeric: Real,
}

/// [`gradcheck_with`] with the default tolerances of the precision.
///
/// # Errors
/// The first element whose gradient differs.
pub fn gradcheck(
    f: impl for<'t> Fn(&'t Tape, &[Var<'t>]) -> Var<'t>,
    inputs: &[Tensor],
) -> Result<(), GradientMismatch> {
    gradcheck_with(GradCheck::default(), f, inputs)
}

/// Compares the gradients of `f` with central differences, for every element of every input.
///
/// The output is multiplied by a random cotangent, so that a rule which ignores its cotangent is found. Keep
/// the inputs away from kinks by more than the step.
///
/// # Errors
/// The first element whose gradient differs by more than the tolerances, or is NaN.
pub fn gradcheck_with(
    check: GradCheck,
    f: impl for<'t> Fn(&'t Tape, &[Var<'t>]) -> Var<'t>,
    inputs: &[Tensor],
) -> Result<(), GradientMismatch> {
    let tape = Tape::new();
    let vars: Vec<_> = inputs.iter().map(|input| tape.variable(input.clone())).collect();
    let output = f(&tape, &vars);
    let philox = Philox::new(check.seed, "gradcheck", 0);
    let cotangent = Tensor::from_fn(&output.shape()[..], |i| {
        2.0 * unit(philox.row_block(i as u64, 0, 0)[0]) - 1.0
    });
    let gradients = tape.backward_from(output, cotangent.clone());

    let at = |inputs: &[Tensor]| -> f64 {
        let tape = Tape::new();
        let vars: Vec<_> = inputs.iter().map(|input| tape.variable(input.clone())).collect();
        let output = f(&tape, &vars).value();
        let pairs = output.as_slice().iter().zip(cotangent.as_slice());
        pairs.map(|(&y, &c)| f64::from(y) * f64::from(c)).sum()
    };
    let mut moved = inputs.to_vec();
    for (input, var) in vars.iter().enumerate() {
        let zeros = || Tensor::zeros(*inputs[input].shape());
        let analytic = gradients.wrt(*var).unwrap_or_else(zeros);
        let scale = analytic.as_slice().iter().fold(0.0, |max: Real, g| max.max(g.abs()));
        for element in 0..inputs[input].len() {
            let centre = inputs[input].as_slice()[element];
            let mut value_at = |x: Real| {
                moved[input].as_mut_slice()[element] = x;
                at(&moved)
            };
            let (right, left) = (centre + check.step, centre - check.step);
            let rise = value_at(right) - value_at(left);
            let numeric = (rise / f64::from(right - left)) as Real;
            value_at(centre);
            let analytic = analytic.as_slice()[element];
            let allowed = check.absolute + check.relative * scale.max(numeric.abs());
            let agree = (analytic - numeric).abs() <= allowed;
            if !agree {
                return Err(GradientMismatch { input, element, analytic, numeric });
            }
        }
    }
    Ok(())
}
