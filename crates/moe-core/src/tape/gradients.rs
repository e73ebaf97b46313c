//! The result of a backward pass.

use std::collections::HashMap;

use crate::parameter::{Parameter, ParameterId};
use crate::tensor::Tensor;

use super::gradient::Gradient;
use super::tape::Var;

/// The gradients of every parameter and variable that the result of a tape depends on.
#[derive(Debug)]
pub struct Gradients {
    tape: u64,
    /// Gradients of the tape's leaves and, behind them, of parameters that only other passes used.
    leaves: Vec<Option<Box<Gradient>>>,
    /// Number of values of the tape that `leaves` begins with.
    values: usize,
    /// Positions of parameters in `leaves`.
    parameters: HashMap<ParameterId, u32>,
}

impl Gradients {
    pub(super) fn new(
        tape: u64,
        leaves: Vec<Option<Box<Gradient>>>,
        mut parameters: HashMap<ParameterId, u32>,
    ) -> Self {
        let values = leaves.len();
        parameters.retain(|_, index| (*index as usize) < values);
        Gradients { tape, leaves, values, parameters }
    }

    /// Takes out the gradient of a leaf.
    pub(super) fn take_leaf(&mut self, index: u32) -> Option<Gradient> {
        self.leaves.get_mut(index as usize)?.take().map(|gradient| *gradient)
    }

    /// The gradient of a parameter; `None` if the result does not depend on it.
    pub fn get(&self, parameter: &Parameter) -> Option<&Gradient> {
        let index = *self.parameters.get(&parameter.id())?;
        self.leaves[index as usize].as_deref()
    }

    /// Adds the gradients of parameters from another pass, on any tape: the sum over the micro-batches of a batch.
    /// Gradients of the other pass's variables are dropped.
    pub fn accumulate(&mut self, mut other: Gradients) {
        for (id, index) in std::mem::take(&mut other.parameters) {
            let Some(gradient) = other.take_leaf(index) else {
                continue;
            };
            match self.parameters.get(&id).map(|&index| &mut self.leaves[index as usize]) {
                Some(Some(present)) => present.add_assign(gradient),
                Some(empty) => *empty = Some(Box::new(gradient)),
                None => {
                    self.parameters.insert(id, self.leaves.len() as u32);
                    self.leaves.push(Some(Box::new(gradient)));
                }
            }
        }
    }

    /// The gradient of a leaf made by [`Tape::variable`](super::Tape::variable), with all elements.
    ///
    /// # Panics
    /// If the variable is of another tape.
    pub fn wrt(&self, var: Var<'_>) -> Option<Tensor> {
        assert_eq!(self.tape, var.tape.id, "gradient of a variable of another tape");
        let gradient = self.leaves[..self.values].get(var.index())?.as_deref();
        gradient.cloned().map(Gradient::into_dense)
    }
}
