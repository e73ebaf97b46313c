//! Operators and their records.

use crate::tensor::Tensor;

use super::gradient::{Gradient, RowGradient};

/// A differentiable function of tensors: its forward rule and, beside it, its backward rule.
///
/// `forward` keeps in the operator itself what the backward rule needs besides inputs and output.
///
/// ```
/// use moe_core::tape::{Backward, InputGradients, Operator, Tape};
/// use moe_core::{Tensor, testing};
///
/// struct Square;
///
/// impl Operator for Square {
///     fn name(&self) -> &'static str {
///         "square"
///     }
///     fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
///         inputs[0].map(|v| v * v)
///     }
///     fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
///         let mut gradient = at.cotangent.clone();
///         for (g, x) in gradient.as_mut_slice().iter_mut().zip(at.inputs[0].as_slice()) {
///             *g *= 2.0 * x;
///         }
///         gradients.add(0, gradient);
///     }
/// }
///
/// let tape = Tape::new();
/// let x = tape.variable(Tensor::scalar(3.0));
/// let y = tape.apply(Square, &[x]);
/// assert_eq!(tape.backward(y).wrt(x).unwrap().item(), 6.0);
///
/// let at = Tensor::new([3], vec![0.5, -1.0, 2.0]);
/// testing::gradcheck(|tape, vars| tape.apply(Square, vars), &[at]).unwrap();
/// ```
pub trait Operator: Send + 'static {
    /// Name of the operator, for messages.
    fn name(&self) -> &'static str;

    /// The output for these inputs. Called once, before any [`Operator::backward`].
    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor;

    /// Adds the gradient of `sum(output * cotangent)` for each input that needs one.
    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>);
}

/// The values at which a backward rule is evaluated.
#[derive(Clone, Debug)]
pub struct Backward<'a> {
    /// The inputs of the forward rule.
    pub inputs: &'a [&'a Tensor],
    /// The output of the forward rule.
    pub output: &'a Tensor,
    /// The gradient of the final result with respect to the output, in the shape of the output. An operator may overwrite it
    /// with the gradient of its input.
    pub cotangent: Tensor,
}

/// A value on a tape and the operator that made it.
pub(super) struct Node {
    /// Absent once it has been freed.
    pub(super) value: Option<Tensor>,
    pub(super) inputs: Box<[u32]>,
    /// Absent for leaves and where no gradient is needed.
    pub(super) operator: Option<Box<dyn Operator>>,
    pub(super) needs_gradient: bool,
}

impl Node {
    /// # Panics
    /// If the value has been freed.
    pub(super) fn value(&self) -> &Tensor {
        self.value
            .as_ref()
            .expect("a value that has been freed, with `Tape::free_since`, is not read")
    }
}

/// Receives the gradients of an operator's inputs.
pub struct InputGradients<'a> {
    operator: &'static str,
    nodes: &'a [Node],
    inputs: &'a [u32],
    /// Cotangents of all nodes before the operator.
    cotangents: &'a mut [Option<Box<Gradient>>],
}

impl<'a> InputGradients<'a> {
    pub(super) fn new(
        operator: &'static str,
        nodes: &'a [Node],
        inputs: &'a [u32],
        cotangents: &'a mut [Option<Box<Gradient>>],
    ) -> Self {
        InputGradients { operator, nodes, inputs, cotangents }
    }

    /// Returns whether the gradient of this input is needed. Other gradients need not be computed.
    pub fn wants(&self, input: usize) -> bool {
        self.nodes[self.inputs[input] as usize].needs_gradient
    }

    /// The present gradient of an input, to add to it in place. `None` if nothing, or only some rows, have been added.
    pub fn dense_mut(&mut self, input: usize) -> Option<&mut Tensor> {
        match self.cotangents[self.inputs[input] as usize].as_deref_mut() {
            Some(Gradient::Dense(gradient)) => Some(gradient),
            _ => None,
        }
    }

    /// Adds to the gradient of an input. The addition is ignored if the gradient is not needed.
    ///
    /// # Panics
    /// If gradient and input differ in shape.
    pub fn add(&mut self, input: usize, gradient: Tensor) {
        self.add_gradient(input, Gradient::Dense(gradient));
    }

    /// Adds a gradient that is zero outside some rows.
    ///
    /// # Panics
    /// If gradient and input differ in shape.
    pub fn add_rows(&mut self, input: usize, gradient: RowGradient) {
        self.add_gradient(input, Gradient::Rows(Box::new(gradient)));
    }

    pub(super) fn add_gradient(&mut self, input: usize, gradient: Gradient) {
        if !self.wants(input) {
            return;
        }
        let index = self.inputs[input] as usize;
        let expected = self.nodes[index].value().shape();
        assert_eq!(
            gradient.shape(),
            *expected,
            "operator {}: gradient of input {input} has the wrong shape",
            self.operator
        );
        match &mut self.cotangents[index] {
            Some(present) => present.add_assign(gradient),
            empty => *empty = Some(Box::new(gradient)),
        }
    }
}

impl std::fmt::Debug for InputGradients<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "gradients of the {} inputs of {}", self.inputs.len(), self.operator)
    }
}
