//! A module of bare matrices, and gradients with chosen values for it.

use moe_core::rand::Rng;
use moe_core::tape::{Gradients, Tape};
use moe_core::{Parameter, Real, StateMut, StateRef, Tensor, Visit, VisitMut};
use moe_nn::{GradientNorms, Module, Optimizer, OptimizerError};

/// Some matrices and a buffer after each, which an optimiser must leave alone.
pub(crate) struct Matrices {
    pub(crate) parameters: Vec<(String, Parameter)>,
    pub(crate) buffer: Tensor,
}

impl Matrices {
    /// Their names are 0, 1, 2, …
    pub(crate) fn new(tensors: &[Tensor]) -> Self {
        let named = tensors.iter().enumerate();
        Self::named(named.map(|(i, tensor)| (i.to_string(), tensor.clone())))
    }

    pub(crate) fn named(tensors: impl IntoIterator<Item = (String, Tensor)>) -> Self {
        let parameters = tensors.into_iter().map(|(name, tensor)| (name, Parameter::new(tensor)));
        Matrices { parameters: parameters.collect(), buffer: Tensor::full([3], 7.0) }
    }

    pub(crate) fn value(&self, index: usize) -> &Tensor {
        self.parameters[index].1.value()
    }
}

impl Module for Matrices {
    fn visit(&self, f: &mut Visit<'_>) {
        for (name, parameter) in &self.parameters {
            f(name, StateRef::Parameter(parameter));
            f("buffer", StateRef::Buffer(&self.buffer));
        }
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        for (name, parameter) in &mut self.parameters {
            f(name, StateMut::Parameter(parameter));
            f("buffer", StateMut::Buffer(&mut self.buffer));
        }
    }
}

/// The gradient of a parameter.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Dense(Tensor),
    /// Rows with their values; a row that is listed twice gets the sum.
    Rows(Vec<u32>, Tensor),
    Absent,
}

impl Wanted {
    /// All elements, in double precision.
    pub(crate) fn dense(&self, size: usize) -> Vec<f64> {
        let mut all = vec![0.0; size];
        match self {
            Wanted::Dense(tensor) => {
                all = tensor.as_slice().iter().map(|&g| f64::from(g)).collect();
            }
            Wanted::Rows(ids, values) => {
                for (i, &id) in ids.iter().enumerate() {
                    for (j, &g) in values.row(i).iter().enumerate() {
                        all[id as usize * values.cols() + j] += f64::from(g);
                    }
                }
            }
            Wanted::Absent => {}
        }
        all
    }

    /// A gradient of the kind with this number: dense, rows (some of them, one twice), absent; sizes from 1e-4 to 1.
    pub(crate) fn draw(kind: usize, shape: [usize; 2], rng: &mut impl Rng) -> Wanted {
        let mut values = |rows: usize| {
            let scale = 10f64.powi(-rng.random_range(0..5));
            let value = |_| (scale * rng.random_range(-1.0..1.0)) as Real;
            Tensor::from_fn([rows, shape[1]], value)
        };
        match kind % 3 {
            0 => Wanted::Dense(values(shape[0])),
            1 => {
                let mut ids: Vec<u32> = (0..shape[0] as u32).step_by(3).collect();
                ids.insert(0, *ids.last().unwrap());
                let values = values(ids.len());
                Wanted::Rows(ids, values)
            }
            _ => Wanted::Absent,
        }
    }
}

/// Gradients with exactly these values.
pub(crate) fn gradients(weights: &Matrices, wanted: &[Wanted]) -> Gradients {
    let tape = Tape::new();
    let mut loss = tape.variable(Tensor::scalar(0.0));
    for ((_, parameter), wanted) in weights.parameters.iter().zip(wanted) {
        let term = match wanted {
            Wanted::Dense(gradient) => tape.parameter(parameter) * tape.constant(gradient.clone()),
            Wanted::Rows(ids, values) => {
                tape.parameter(parameter).gather_rows(ids) * tape.constant(values.clone())
            }
            Wanted::Absent => continue,
        };
        loss = loss + term.sum();
    }
    tape.backward(loss)
}

/// One step with these gradients.
pub(crate) fn update(
    optimizer: &mut Optimizer,
    weights: &mut Matrices,
    wanted: &[Wanted],
) -> Result<GradientNorms, OptimizerError> {
    let gradients = gradients(weights, wanted);
    optimizer.step(weights, &gradients)
}
