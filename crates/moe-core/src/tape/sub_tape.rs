//! Part of a computation with its own tape, so that it can run on any thread.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::buffer::Buffer;
use crate::parameter::ParameterId;
use crate::real::Real;
use crate::tensor::Tensor;

use super::gradient::Gradient;
use super::tape::{Tape, Var};

/// The record of a computation from one input to one output.
pub(super) struct SubTape {
    /// Locked by one thread at a time, so that nobody waits.
    tape: Mutex<Tape>,
    input: u32,
    output: u32,
    /// Leaves of the parameters that learn, in the order of their first use.
    parameters: Vec<(ParameterId, u32)>,
}

impl SubTape {
    /// Returns the value of `f(x)`, and its record if it depends on anything that needs a gradient.
    ///
    /// # Panics
    /// If `f` panics, or if its output, which messages call `output_name`, is of another tape.
    pub(super) fn run(
        output_name: &str,
        x: Tensor,
        wants_input: bool,
        recording: bool,
        f: impl for<'s> FnOnce(Var<'s>) -> Var<'s>,
    ) -> (Tensor, Option<Self>) {
        let mut tape = spares().pop().unwrap_or_default();
        tape.recording = recording;
        let x = if wants_input { tape.variable(x) } else { tape.constant(x) };
        let y = f(x);
        assert_eq!(y.tape.id, tape.id, "{output_name} is of another tape");
        let (input, output, value) = (x.index, y.index, y.value());
        let nodes = tape.nodes.get_mut();
        let needs_gradient = nodes[output as usize].needs_gradient;
        let known = tape.parameters.get_mut().iter();
        let learning = known.filter(|&(_, &leaf)| nodes[leaf as usize].needs_gradient);
        let mut parameters: Vec<_> = learning.map(|(&id, &leaf)| (id, leaf)).collect();
        parameters.sort_unstable_by_key(|&(_, leaf)| leaf);
        let sub_tape = SubTape { tape: Mutex::new(tape), input, output, parameters };
        (value, needs_gradient.then_some(sub_tape))
    }

    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the leaves of its parameters on `outer`.
    pub(super) fn parameters_on<'t>(&self, outer: &'t Tape, leaves: &mut Vec<Var<'t>>) {
        let tape = self.tape();
        let nodes = tape.nodes.borrow();
        leaves.extend(
            self.parameters
                .iter()
                .map(|&(id, leaf)| outer.parameter_leaf(id, nodes[leaf as usize].value(), true)),
        );
    }

    /// The gradients for this cotangent of the output.
    pub(super) fn backward(&self, cotangent: Buffer<Real>) -> Found {
        let tape = self.tape();
        let output = Var { tape: &tape, index: self.output };
        let cotangent = Tensor::from_buffer(output.shape(), cotangent);
        let mut gradients = tape.backward_from(output, cotangent);
        let of_input = gradients.take_leaf(self.input);
        let leaves = self.parameters.iter();
        Found {
            of_input,
            of_parameters: leaves.map(|&(_, leaf)| gradients.take_leaf(leaf)).collect(),
        }
    }
}

/// The tape is kept for later use, with the memory of its records.
impl Drop for SubTape {
    fn drop(&mut self) {
        let tape = self.tape.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut tape = std::mem::take(tape);
        tape.clear();
        spares().push(tape);
    }
}

/// The gradients of a sub-tape.
#[derive(Default)]
pub(super) struct Found {
    pub(super) of_input: Option<Gradient>,
    pub(super) of_parameters: Vec<Option<Gradient>>,
}

/// Tapes that later sub-tapes take over.
fn spares() -> MutexGuard<'static, Vec<Tape>> {
    static SPARES: Mutex<Vec<Tape>> = Mutex::new(Vec::new());
    // A list of tapes is whole also if a thread panicked while it held the lock.
    SPARES.lock().unwrap_or_else(PoisonError::into_inner)
}
