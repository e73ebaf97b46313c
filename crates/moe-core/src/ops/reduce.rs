use crate::Tensor;
use crate::tape::{Backward, InputGradients, Operator, Var};

struct Sum;

impl Operator for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        Tensor::scalar(inputs[0].as_slice().iter().sum())
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        gradients.add(0, Tensor::full(*at.inputs[0].shape(), at.cotangent.item()));
    }
}

impl<'t> Var<'t> {
    /// The sum of all elements.
    ///
    /// # Shapes
    /// any → `[]`
    pub fn sum(self) -> Var<'t> {
        self.tape().apply(Sum, &[self])
    }

    /// The mean of all elements; 0 if there are none.
    ///
    /// # Shapes
    /// any → `[]`
    pub fn mean(self) -> Var<'t> {
        let size = self.shape().size().max(1);
        self.sum().scale(1.0 / size as crate::Real)
    }
}
