use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::{Shape, Tensor};

struct Reshape {
    shape: Shape,
}

impl Operator for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        inputs[0].clone().reshape(self.shape)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        gradients.add(0, at.cotangent.reshape(*at.inputs[0].shape()));
    }
}

impl<'t> Var<'t> {
    /// The same elements in another shape, without a copy.
    ///
    /// # Shapes
    /// any → `shape`
    ///
    /// # Panics
    /// If the number of elements differs.
    pub fn reshape(self, shape: impl Into<Shape>) -> Var<'t> {
        self.tape().apply(Reshape { shape: shape.into() }, &[self])
    }
}
