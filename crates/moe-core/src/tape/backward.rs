//! The backward pass: a walk of the record in reverse.

use crate::tensor::Tensor;

use super::gradient::Gradient;
use super::gradients::Gradients;
use super::operator::{Backward, InputGradients};
use super::tape::{Tape, Var};

impl Tape {
    /// Gradients of the scalar `loss` with respect to every parameter and variable it depends on.
    ///
    /// # Panics
    /// If `loss` is of another tape or has more than one element, or the tape does not record.
    pub fn backward(&self, loss: Var<'_>) -> Gradients {
        let shape = loss.shape();
        assert_eq!(shape.size(), 1, "backward from shape {shape:?}, not a scalar");
        self.backward_from(loss, Tensor::full(shape, 1.0))
    }

    /// Gradients of `sum(output * cotangent)`.
    ///
    /// # Shapes
    /// `cotangent` as `output`.
    ///
    /// # Panics
    /// If the shapes differ, `output` is of another tape, or the tape does not record.
    pub fn backward_from(&self, output: Var<'_>, cotangent: Tensor) -> Gradients {
        assert!(self.recording, "a tape for inference has no gradients");
        assert_eq!(output.tape.id, self.id, "backward from a variable of another tape");
        assert_eq!(
            output.shape(),
            *cotangent.shape(),
            "the cotangent must have the shape of the output"
        );
        let nodes = self.nodes.borrow();
        // Boxed, so that a long tape needs no large list.
        let mut cotangents: Vec<Option<Box<Gradient>>> = Vec::new();
        cotangents.resize_with(output.index() + 1, || None);
        cotangents[output.index()] = Some(Box::new(Gradient::Dense(cotangent)));
        for index in (0..=output.index()).rev() {
            let node = &nodes[index];
            let Some(operator) = &node.operator else {
                continue;
            };
            let (below, rest) = cotangents.split_at_mut(index);
            let Some(gradient) = rest[0].take() else {
                continue;
            };
            let cotangent = gradient.into_dense();
            let values: Vec<&Tensor> =
                (node.inputs.iter().map(|&i| nodes[i as usize].value())).collect();
            let mut sink = InputGradients::new(operator.name(), &nodes, &node.inputs, below);
            operator
                .backward(Backward { inputs: &values, output: node.value(), cotangent }, &mut sink);
        }
        Gradients::of_leaves(self.id, cotangents, self.parameters.borrow().clone())
    }
}
