use crate::kernel::for_row_blocks;
use crate::tape::{Backward, InputGradients, Operator, Var};
use crate::{Real, Tensor};

/// A function of each element.
struct Elementwise<F, D> {
    name: &'static str,
    value: F,
    /// Derivative, given input and output.
    slope: D,
}

impl<F, D> Operator for Elementwise<F, D>
where
    F: Fn(Real) -> Real + Send + Sync + 'static,
    D: Fn(Real, Real) -> Real + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let x = inputs[0];
        let cols = x.cols();
        let mut y = Tensor::unspecified(*x.shape());
        for_row_blocks(y.as_mut_slice(), cols, |row, block| {
            for (y, x) in block.iter_mut().zip(&x.as_slice()[row * cols..]) {
                *y = (self.value)(*x);
            }
        });
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (inputs, outputs) = (at.inputs[0].as_slice(), at.output.as_slice());
        let cols = at.output.cols();
        let mut dx = at.cotangent.clone();
        for_row_blocks(dx.as_mut_slice(), cols, |row, block| {
            let start = row * cols;
            for ((d, x), y) in block.iter_mut().zip(&inputs[start..]).zip(&outputs[start..]) {
                *d *= (self.slope)(*x, *y);
            }
        });
        gradients.add(0, dx);
    }
}

/// 1 / (1 + e^-x), without overflow.
pub(super) fn sigmoid(x: Real) -> Real {
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

impl<'t> Var<'t> {
    fn elementwise(
        self,
        name: &'static str,
        value: impl Fn(Real) -> Real + Send + Sync + 'static,
        slope: impl Fn(Real, Real) -> Real + Send + Sync + 'static,
    ) -> Var<'t> {
        self.tape().apply(Elementwise { name, value, slope }, &[self])
    }

    /// max(x, 0); its derivative at 0 is 0. What is not a number stays so.
    ///
    /// # Shapes
    /// any → the same.
    pub fn relu(self) -> Var<'t> {
        // Not `x.max(0.0)`, which would hide a NaN.
        let value = |x| if x < 0.0 { 0.0 } else { x };
        self.elementwise("relu", value, |_, y| if y > 0.0 { 1.0 } else { 0.0 })
    }

    /// 1 / (1 + e^-x).
    ///
    /// # Shapes
    /// any → the same.
    pub fn sigmoid(self) -> Var<'t> {
        self.elementwise("sigmoid", sigmoid, |_, y| y * (1.0 - y))
    }

    /// ln(1 + e^x), without overflow.
    ///
    /// # Shapes
    /// any → the same.
    pub fn softplus(self) -> Var<'t> {
        let value = |x: Real| (-x.abs()).exp().ln_1p() + x.max(0.0);
        self.elementwise("softplus", value, |x, _| sigmoid(x))
    }

    /// The hyperbolic tangent.
    ///
    /// # Shapes
    /// any → the same.
    pub fn tanh(self) -> Var<'t> {
        self.elementwise("tanh", Real::tanh, |_, y| 1.0 - y * y)
    }

    /// e^x.
    ///
    /// # Shapes
    /// any → the same.
    pub fn exp(self) -> Var<'t> {
        self.elementwise("exp", Real::exp, |_, y| y)
    }

    /// The natural logarithm: -∞ at 0, not a number below.
    ///
    /// # Shapes
    /// any → the same.
    pub fn ln(self) -> Var<'t> {
        self.elementwise("ln", Real::ln, |x, _| 1.0 / x)
    }

    /// The square root: not a number below 0; its derivative at 0 is infinite.
    ///
    /// # Shapes
    /// any → the same.
    pub fn sqrt(self) -> Var<'t> {
        self.elementwise("sqrt", Real::sqrt, |_, y| 0.5 / y)
    }

    /// |x|; its derivative at 0 is 0.
    ///
    /// # Shapes
    /// any → the same.
    pub fn abs(self) -> Var<'t> {
        let slope = |x: Real, _| if x == 0.0 { 0.0 } else { x.signum() };
        self.elementwise("abs", Real::abs, slope)
    }

    /// x moved into [`low`, `high`]; its derivative is 1 inside and at the bounds, 0 outside.
    ///
    /// # Shapes
    /// any → the same.
    ///
    /// # Panics
    /// If `low` is above `high`, or one of them is not a number.
    pub fn clamp(self, low: Real, high: Real) -> Var<'t> {
        assert!(low <= high, "clamp: {low} is not below {high}");
        let slope = move |x, _| if (low..=high).contains(&x) { 1.0 } else { 0.0 };
        self.elementwise("clamp", move |x| x.clamp(low, high), slope)
    }

    /// x to a whole power.
    ///
    /// # Shapes
    /// any → the same.
    pub fn powi(self, power: i32) -> Var<'t> {
        let slope = move |x: Real, _| match power {
            0 => 0.0,
            _ => power as Real * x.powi(power - 1),
        };
        self.elementwise("powi", move |x| x.powi(power), slope)
    }
}
