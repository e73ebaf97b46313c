//! The record of a computation, and handles to its values.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::parameter::{Parameter, ParameterId};
use crate::tensor::{Shape, Tensor};

use super::operator::{Node, Operator};

/// A record of operators and their values.
///
/// A tape serves one forward pass and at most a few backward passes. Then it is cleared or dropped with its buffers.
pub struct Tape {
    pub(super) id: u64,
    pub(super) recording: bool,
    pub(super) nodes: RefCell<Vec<Node>>,
    pub(super) parameters: RefCell<HashMap<ParameterId, u32>>,
}

impl Tape {
    /// A tape that records what a backward pass needs.
    pub fn new() -> Self {
        Self::with_recording(true)
    }

    /// A tape without gradients, for evaluation. It keeps values until it is cleared, but not the operators.
    pub fn inference() -> Self {
        Self::with_recording(false)
    }

    fn with_recording(recording: bool) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Tape {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            recording,
            nodes: RefCell::default(),
            parameters: RefCell::default(),
        }
    }

    /// Forgets everything recorded. The buffers of the values return to their pool. A training loop keeps one tape.
    pub fn clear(&mut self) {
        self.nodes.get_mut().clear();
        self.parameters.get_mut().clear();
    }

    /// Returns whether operators are recorded for a backward pass.
    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// A leaf without gradient.
    pub fn constant(&self, value: Tensor) -> Var<'_> {
        self.leaf(value, false)
    }

    /// A leaf with a gradient, which [`Gradients::wrt`](super::Gradients::wrt) returns.
    pub fn variable(&self, value: Tensor) -> Var<'_> {
        self.leaf(value, self.recording)
    }

    /// The leaf of a parameter: one per tape, however often the parameter is used. The leaf of a frozen parameter has no
    /// gradient.
    pub fn parameter(&self, parameter: &Parameter) -> Var<'_> {
        self.parameter_leaf(parameter.id(), parameter.value(), !parameter.is_frozen())
    }

    pub(super) fn parameter_leaf(&self, id: ParameterId, value: &Tensor, learns: bool) -> Var<'_> {
        let known = self.parameters.borrow().get(&id).copied();
        if let Some(index) = known {
            return Var { tape: self, index };
        }
        let var = self.leaf(value.clone(), self.recording && learns);
        self.parameters.borrow_mut().insert(id, var.index);
        var
    }

    /// Computes `operator` on `inputs` and records it.
    ///
    /// # Panics
    /// If an input is of another tape, or as the operator's forward rule says.
    pub fn apply<'t>(&'t self, mut operator: impl Operator, inputs: &[Var<'t>]) -> Var<'t> {
        self.assert_own(operator.name(), inputs);
        let (value, needs_gradient) = {
            let nodes = self.nodes.borrow();
            let values: Vec<&Tensor> = inputs.iter().map(|v| &nodes[v.index()].value).collect();
            let needs = inputs.iter().any(|v| nodes[v.index()].needs_gradient);
            (operator.forward(&values), self.recording && needs)
        };
        self.push(Node {
            value,
            inputs: if needs_gradient {
                inputs.iter().map(|v| v.index).collect()
            } else {
                Box::default()
            },
            operator: needs_gradient.then(|| Box::new(operator) as Box<dyn Operator>),
            needs_gradient,
        })
    }

    fn assert_own(&self, operator: &str, inputs: &[Var<'_>]) {
        for var in inputs {
            assert_eq!(
                var.tape.id, self.id,
                "operator {operator} was given a variable of another tape"
            );
        }
    }

    fn leaf(&self, value: Tensor, needs_gradient: bool) -> Var<'_> {
        self.push(Node { value, inputs: Box::default(), operator: None, needs_gradient })
    }

    fn push(&self, node: Node) -> Var<'_> {
        let mut nodes = self.nodes.borrow_mut();
        let index = u32::try_from(nodes.len()).expect("at most 2^32 operators on a tape");
        nodes.push(node);
        Var { tape: self, index }
    }
}

impl Default for Tape {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tape #{} of {} values", self.id, self.nodes.borrow().len())
    }
}

/// A value on a [`Tape`].
#[derive(Clone, Copy)]
pub struct Var<'t> {
    pub(super) tape: &'t Tape,
    pub(super) index: u32,
}

impl<'t> Var<'t> {
    /// The tape that the value is on.
    pub fn tape(&self) -> &'t Tape {
        self.tape
    }

    /// The value. It shares the buffer.
    pub fn value(&self) -> Tensor {
        self.tape.nodes.borrow()[self.index()].value.clone()
    }

    /// The shape of the value.
    pub fn shape(&self) -> Shape {
        *self.tape.nodes.borrow()[self.index()].value.shape()
    }

    /// The same value as a constant: no gradient flows through it.
    ///
    /// ```
    /// use moe_core::{Tensor, tape::Tape};
    ///
    /// let tape = Tape::new();
    /// let x = tape.variable(Tensor::scalar(3.0));
    /// let gradients = tape.backward(x * x.detach());
    /// assert_eq!(gradients.wrt(x).unwrap().item(), 3.0);
    /// ```
    pub fn detach(&self) -> Var<'t> {
        self.tape.constant(self.value())
    }

    pub(super) fn index(&self) -> usize {
        self.index as usize
    }
}

impl fmt::Debug for Var<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Var {} of {:?}: {:?}", self.index, self.tape, self.value())
    }
}
