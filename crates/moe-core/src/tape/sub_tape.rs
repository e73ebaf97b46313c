//! A part of a computation with a tape of its own, so that it can run on any thread.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::buffer::Buffer;
use crate::parameter::ParameterId;
use crate::real::Real;
use crate::tensor::Tensor;

use super::gradients::Gradient;
use super::{Tape, Var};

/// What is recorded of a computation from one input to one output.
pub(super) struct SubTape {
    /// The lock is never waited for.
    tape: Mutex<Tape>,
    input: u32,
    output: u32,
    /// Leaves of the parameters that learn, in the order of their first use.
    parameters: Vec<(ParameterId, u32)>,
}

impl SubTape {
    /// The value of `f(x)`, and its record if it depends on anything that wants a gradient.
    ///
    /// # Panics
    /// If `f` does, or if its output, which messages call `output_name`, is of another tape.
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

    /// Appends the leaves that its parameters have on `outer`.
    pub(super) fn parameters_on<'t>(&self, outer: &'t Tape, leaves: &mut Vec<Var<'t>>) {
        let tape = self.tape();
        let nodes = tape.nodes.borrow();
        leaves.extend(
            self.parameters
                .iter()
                .map(|&(id, leaf)| outer.parameter_leaf(id, &nodes[leaf as usize].value, true)),
        );
    }

    /// The gradients for the elements of the output's cotangent.
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

/// The tape is kept for later parts, with the room that its records take.
impl Drop for SubTape {
    fn drop(&mut self) {
        let tape = self.tape.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut tape = std::mem::take(tape);
        tape.clear();
        spares().push(tape);
    }
}

/// Gradients of a part.
#[derive(Default)]
pub(super) struct Found {
    pub(super) of_input: Option<Gradient>,
    pub(super) of_parameters: Vec<Option<Gradient>>,
}

/// Tapes of parts that are done.
fn spares() -> MutexGuard<'static, Vec<Tape>> {
    static SPARES: Mutex<Vec<Tape>> = Mutex::new(Vec::new());
    // A list of tapes is whole also if a thread panicked while it held the lock.
    SPARES.lock().unwrap_or_else(PoisonError::into_inner)
}
