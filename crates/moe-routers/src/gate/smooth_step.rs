use moe_core::Real;

/// The smooth-step function: 0 up to -γ/2, 1 from γ/2 on, and between them the cubic
/// -2t³/γ³ + 3t/(2γ) + 1/2 (Hazimeh and others: The tree ensemble layer, ICML 2020).
///
/// Beyond the two bounds value and derivative are exact, so that factors of a zero need not be computed. The function
/// is evaluated as v²(3 - 2v) with v = t/γ + 1/2, the same polynomial without its cancellation near 0.
///
/// ```
/// use moe_routers::SmoothStep;
///
/// let step = SmoothStep::new(2.0);
/// assert_eq!(step.at(-1.0).value, 0.0);
/// assert_eq!(step.at(0.0).value, 0.5);
/// assert_eq!((step.at(1.0).value, step.at(1.0).complement), (1.0, 0.0));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SmoothStep {
    gamma: Real,
}

/// A smooth-step function at a point t.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// S(t), in 0..=1.
    pub value: Real,
    /// 1 - S(t) = S(-t), without the rounding of a subtraction from 1.
    pub complement: Real,
    /// S'(t).
    pub slope: Real,
}

impl SmoothStep {
    /// The function that rises over a width of γ.
    ///
    /// # Panics
    /// If γ is not positive and finite.
    pub fn new(gamma: Real) -> Self {
        assert!(gamma > 0.0 && gamma.is_finite(), "gamma must be positive and finite, not {gamma}");
        SmoothStep { gamma }
    }

    /// The value at `t`, its complement to 1, and the derivative.
    #[inline]
    pub fn at(self, t: Real) -> Step {
        // A division, not a product with 1/γ: it gives exactly ∓1/2 at the bounds.
        let v = (t / self.gamma + 0.5).clamp(0.0, 1.0);
        let w = 1.0 - v;
        Step {
            value: v * v * (3.0 - 2.0 * v),
            complement: w * w * (3.0 - 2.0 * w),
            slope: 6.0 * v * w / self.gamma,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_published_polynomial(t in -8.0f64..8.0, exponent in -3i32..2) {
            let gamma = 10f64.powi(exponent);
            let published = if t <= -gamma / 2.0 {
                [0.0, 0.0]
            } else if t >= gamma / 2.0 {
                [1.0, 0.0]
            } else {
                let (square, cube) = (gamma * gamma, gamma * gamma * gamma);
                [
                    -2.0 * t.powi(3) / cube + 1.5 * t / gamma + 0.5,
                    1.5 / gamma - 6.0 * t * t / (square * gamma),
                ]
            };
            let step = SmoothStep::new(gamma as Real).at(t as Real);
            // The rounding of t and γ moves the value by a few units in the last place of t/γ.
            let unit = 8.0 * f64::from(Real::EPSILON);
            prop_assert!((f64::from(step.value) - published[0]).abs() <= unit);
            prop_assert!((f64::from(step.slope) - published[1]).abs() <= 2.0 * unit / gamma);
            prop_assert!((step.value + step.complement - 1.0).abs() <= 4.0 * Real::EPSILON);
            prop_assert!((0.0..=1.0 + Real::EPSILON).contains(&step.value));
        }
    }

    #[test]
    fn the_bounds_are_inclusive_for_any_width() {
        for gamma in [1e-3, 0.1, 0.3, 1.0, 3.0, 7.7, 10.0] {
            let step = SmoothStep::new(gamma);
            assert_eq!(step.at(-gamma / 2.0), Step { value: 0.0, complement: 1.0, slope: 0.0 });
            assert_eq!(step.at(gamma / 2.0), Step { value: 1.0, complement: 0.0, slope: 0.0 });
            assert_eq!(step.at(0.0).slope, 1.5 / gamma);
        }
    }
}
