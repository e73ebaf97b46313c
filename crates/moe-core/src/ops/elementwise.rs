use crate::kernel::geometry::PIECE;
use crate::kernel::parallel::for_pieces;
use crate::kernel::vector_math::{
    Exp, Function, Gelu, GeluSlope, Ln, Sigmoid, Softplus, Tanh, map,
};
use crate::real::Real;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

/// A function of each element.
struct Elementwise<F, D> {
    name: &'static str,
    /// Replaces every value by the value of the function.
    value: F,
    /// Multiplies by the derivative, given inputs and outputs.
    times_slope: D,
}

impl<F, D> Operator for Elementwise<F, D>
where
    F: Fn(&mut [Real]) + Send + Sync + 'static,
    D: Fn(&[Real], &[Real], &mut [Real]) + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let x = inputs[0].as_slice();
        let mut y = Tensor::unspecified(*inputs[0].shape());
        for_pieces(x.len(), y.as_mut_slice(), PIECE, |i, y| {
            y.copy_from_slice(&x[i * PIECE..][..y.len()]);
            (self.value)(y);
        });
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (x, y) = (at.inputs[0].as_slice(), at.output.as_slice());
        let mut dx = at.cotangent;
        for_pieces(x.len(), dx.as_mut_slice(), PIECE, |i, d| {
            let here = i * PIECE..i * PIECE + d.len();
            (self.times_slope)(&x[here.clone()], &y[here], d);
        });
        gradients.add(0, dx);
    }
}

/// A slope that is simple in input and output.
fn simple(
    slope: impl Fn(Real, Real) -> Real + Send + Sync + 'static,
) -> impl Fn(&[Real], &[Real], &mut [Real]) + Send + Sync + 'static {
    move |x, y, d| {
        for ((d, x), y) in d.iter_mut().zip(x).zip(y) {
            *d *= slope(*x, *y);
        }
    }
}

/// A slope that is an elementary function of the input.
fn elementary<F>(function: F) -> impl Fn(&[Real], &[Real], &mut [Real]) + Send + Sync + 'static
where
    F: Function<Real> + Copy + Send + Sync + 'static,
{
    const CHUNK: usize = 64;
    move |x, _, d| {
        let mut slopes = [0.0; CHUNK];
        for (x, d) in x.chunks(CHUNK).zip(d.chunks_mut(CHUNK)) {
            let slopes = &mut slopes[..x.len()];
            slopes.copy_from_slice(x);
            map(function, slopes);
            d.iter_mut().zip(slopes).for_each(|(d, slope)| *d *= *slope);
        }
    }
}

impl<'t> Var<'t> {
    /// Applies a function that is simple enough for a loop.
    fn simple(
        self,
        name: &'static str,
        value: impl Fn(Real) -> Real + Send + Sync + 'static,
        slope: impl Fn(Real, Real) -> Real + Send + Sync + 'static,
    ) -> Var<'t> {
        let value = move |y: &mut [Real]| y.iter_mut().for_each(|v| *v = value(*v));
        self.tape().apply(Elementwise { name, value, times_slope: simple(slope) }, &[self])
    }

    fn elementary(
        self,
        name: &'static str,
        function: impl Function<Real> + Copy + Send + Sync + 'static,
        times_slope: impl Fn(&[Real], &[Real], &mut [Real]) + Send + Sync + 'static,
    ) -> Var<'t> {
        let value = move |y: &mut [Real]| map(function, y);
        self.tape().apply(Elementwise { name, value, times_slope }, &[self])
    }

    /// max(x, 0); its derivative at 0 is 0. NaN stays NaN.
    ///
    /// # Shapes
    /// any → the same.
    pub fn relu(self) -> Var<'t> {
        // Not `x.max(0.0)`, which would hide a NaN.
        let value = |x| if x < 0.0 { 0.0 } else { x };
        self.simple("relu", value, |_, y| if y > 0.0 { 1.0 } else { 0.0 })
    }

    /// x Φ(x), Φ the distribution function of the standard normal distribution (Hendrycks and Gimpel, "Gaussian Error
    /// Linear Units", 2016): the exact function, not its approximation by tanh.
    ///
    /// # Shapes
    /// any → the same.
    pub fn gelu(self) -> Var<'t> {
        self.elementary("gelu", Gelu, elementary(GeluSlope))
    }

    /// 1 / (1 + e^-x).
    ///
    /// # Shapes
    /// any → the same.
    pub fn sigmoid(self) -> Var<'t> {
        self.elementary("sigmoid", Sigmoid, simple(|_, y| y * (1.0 - y)))
    }

    /// ln(1 + e^x), without overflow.
    ///
    /// # Shapes
    /// any → the same.
    pub fn softplus(self) -> Var<'t> {
        self.elementary("softplus", Softplus, elementary(Sigmoid))
    }

    /// The hyperbolic tangent.
    ///
    /// # Shapes
    /// any → the same.
    pub fn tanh(self) -> Var<'t> {
        self.elementary("tanh", Tanh, simple(|_, y| 1.0 - y * y))
    }

    /// e^x.
    ///
    /// # Shapes
    /// any → the same.
    pub fn exp(self) -> Var<'t> {
        self.elementary("exp", Exp, simple(|_, y| y))
    }

    /// The natural logarithm: -∞ at 0, NaN below.
    ///
    /// # Shapes
    /// any → the same.
    pub fn ln(self) -> Var<'t> {
        self.elementary("ln", Ln, simple(|x, _| 1.0 / x))
    }

    /// The square root: NaN below 0; its derivative at 0 is infinite.
    ///
    /// # Shapes
    /// any → the same.
    pub fn sqrt(self) -> Var<'t> {
        self.simple("sqrt", Real::sqrt, |_, y| 0.5 / y)
    }

    /// |x|; its derivative at 0 is 0.
    ///
    /// # Shapes
    /// any → the same.
    pub fn abs(self) -> Var<'t> {
        let slope = |x: Real, _| if x == 0.0 { 0.0 } else { x.signum() };
        self.simple("abs", Real::abs, slope)
    }

    /// x clamped to [`low`, `high`]; its derivative is 1 inside and at the bounds, 0 outside.
    ///
    /// # Shapes
    /// any → the same.
    ///
    /// # Panics
    /// If `low` is above `high`, or one of them is NaN.
    pub fn clamp(self, low: Real, high: Real) -> Var<'t> {
        assert!(low <= high, "clamp: {low} is not below {high}");
        let slope = move |x, _| if (low..=high).contains(&x) { 1.0 } else { 0.0 };
        self.simple("clamp", move |x| x.clamp(low, high), slope)
    }

    /// x to the power of an integer.
    ///
    /// # Shapes
    /// any → the same.
    pub fn powi(self, power: i32) -> Var<'t> {
        let slope = move |x: Real, _| match power {
            0 => 0.0,
            _ => power as Real * x.powi(power - 1),
        };
        self.simple("powi", move |x| x.powi(power), slope)
    }
}
