//! The result of a backward pass.

use std::collections::HashMap;

use crate::parameter::{Parameter, ParameterId};
use crate::real::Real;
use crate::tensor::Tensor;

use super::gradient::Gradient;
use super::tape::Var;

/// The gradients of every parameter and variable that the result of a tape depends on.
///
/// They can also be made and changed by hand, parameter by parameter, for example to add those that another process has
/// computed. Parameters have no order of their own: a module that owns them gives one.
/// ```
/// use moe_core::tape::{Gradient, Gradients, RowGradient};
/// use moe_core::{Parameter, Tensor};
///
/// let (bias, table) = (Parameter::new(Tensor::zeros([2])), Parameter::new(Tensor::zeros([5, 1])));
/// let row = RowGradient::scatter(*table.value().shape(), &[3], &Tensor::full([1, 1], 4.0));
/// let mut gradients = Gradients::default();
/// gradients.insert(&bias, Gradient::Dense(Tensor::full([2], 1.0)));
/// gradients.insert(&table, Gradient::Rows(Box::new(row)));
/// gradients.scale(0.5);
/// assert_eq!(gradients.get(&bias).unwrap().stored().as_slice(), [0.5, 0.5]);
/// assert_eq!(gradients.take(&table).unwrap().into_dense().row(3), [2.0]);
/// assert!(gradients.get(&table).is_none());
/// ```
#[derive(Debug, Default)]
pub struct Gradients {
    /// `None` if they are of no tape.
    tape: Option<u64>,
    /// Gradients of the tape's leaves and, behind them, of parameters that only other passes used.
    leaves: Vec<Option<Box<Gradient>>>,
    /// Number of values of the tape that `leaves` begins with.
    values: usize,
    /// Positions of parameters in `leaves`.
    parameters: HashMap<ParameterId, u32>,
}

impl Gradients {
    /// The gradients of a tape, by leaf.
    pub(super) fn of_leaves(
        tape: u64,
        leaves: Vec<Option<Box<Gradient>>>,
        mut parameters: HashMap<ParameterId, u32>,
    ) -> Self {
        let values = leaves.len();
        parameters.retain(|_, index| (*index as usize) < values);
        Gradients { tape: Some(tape), leaves, values, parameters }
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

    /// Takes out the gradient of a parameter.
    pub fn take(&mut self, parameter: &Parameter) -> Option<Gradient> {
        self.take_leaf(*self.parameters.get(&parameter.id())?)
    }

    /// Sets the gradient of a parameter, and returns the one that it replaces.
    ///
    /// # Panics
    /// If parameter and gradient differ in shape.
    pub fn insert(&mut self, parameter: &Parameter, gradient: Gradient) -> Option<Gradient> {
        let (own, given) = (*parameter.value().shape(), gradient.shape());
        assert_eq!(own, given, "a gradient of {given:?} for a parameter of {own:?}");
        let place = self.place(parameter.id());
        place.replace(Box::new(gradient)).map(|gradient| *gradient)
    }

    /// The place of the gradient of a parameter.
    fn place(&mut self, id: ParameterId) -> &mut Option<Box<Gradient>> {
        let end = self.leaves.len();
        let index = *self.parameters.entry(id).or_insert(end as u32) as usize;
        if index == end {
            self.leaves.push(None);
        }
        &mut self.leaves[index]
    }

    /// Multiplies every gradient, also those of variables.
    pub fn scale(&mut self, factor: Real) {
        for gradient in self.leaves.iter_mut().flatten() {
            gradient.stored_mut().iter_mut().for_each(|value| *value *= factor);
        }
    }

    /// Adds the gradients of parameters from another pass, on any tape: the sum over the micro-batches of a batch.
    /// Gradients of the other pass's variables are dropped.
    pub fn accumulate(&mut self, mut other: Gradients) {
        for (id, index) in std::mem::take(&mut other.parameters) {
            let Some(gradient) = other.take_leaf(index) else {
                continue;
            };
            match self.place(id) {
                Some(present) => present.add_assign(gradient),
                empty => *empty = Some(Box::new(gradient)),
            }
        }
    }

    /// The gradient of a leaf made by [`Tape::variable`](super::Tape::variable), with all elements.
    ///
    /// # Panics
    /// If the variable is of another tape.
    pub fn wrt(&self, var: Var<'_>) -> Option<Tensor> {
        assert_eq!(self.tape, Some(var.tape.id), "gradient of a variable of another tape");
        let gradient = self.leaves[..self.values].get(var.index())?.as_deref();
        gradient.cloned().map(Gradient::into_dense)
    }
}
