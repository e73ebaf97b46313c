use crate::kernel::for_row_blocks;
use crate::tape::{Backward, InputGradients, Operator, Var};
use crate::{Real, Tensor};

/// An element-wise function whose derivative is a function of its output.
struct Activation {
    name: &'static str,
    value: fn(Real) -> Real,
    /// Derivative, given the output.
    slope: fn(Real) -> Real,
}

impl Operator for Activation {
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let x = inputs[0];
        let value = self.value;
        let mut y = x.clone();
        for_row_blocks(y.as_mut_slice(), x.cols(), |_, block| {
            block.iter_mut().for_each(|v| *v = value(*v));
        });
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let slope = self.slope;
        let cols = at.output.cols();
        let mut dx = at.cotangent.clone();
        for_row_blocks(dx.as_mut_slice(), cols, |row, block| {
            let outputs = &at.output.as_slice()[row * cols..];
            for (d, y) in block.iter_mut().zip(outputs) {
                *d *= slope(*y);
            }
        });
        gradients.add(0, dx);
    }
}

/// 1 / (1 + e^-x), without overflow.
pub(crate) fn sigmoid(x: Real) -> Real {
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

impl<'t> Var<'t> {
    /// max(x, 0); its derivative at 0 is 0. What is not a number stays so.
    ///
    /// # Shapes
    /// any → the same.
    pub fn relu(self) -> Var<'t> {
        let relu = Activation {
            name: "relu",
            // Not `x.max(0.0)`, which would hide a NaN.
            value: |x| if x < 0.0 { 0.0 } else { x },
            slope: |y| if y > 0.0 { 1.0 } else { 0.0 },
        };
        self.tape().apply(relu, &[self])
    }

    /// 1 / (1 + e^-x).
    ///
    /// # Shapes
    /// any → the same.
    pub fn sigmoid(self) -> Var<'t> {
        let sigmoid = Activation { name: "sigmoid", value: sigmoid, slope: |y| y * (1.0 - y) };
        self.tape().apply(sigmoid, &[self])
    }
}
