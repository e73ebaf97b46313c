//! The record of a computation, and handles to its values.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

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

    /// A tape without gradients, for inference. It keeps no operators, and values until it is cleared or
    /// [`Tape::free_since`] frees them. Once its memory and that of its thread have grown, it allocates nothing.
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

    /// The leaf of a parameter: one per tape that records, however often the parameter is used. The leaf of a frozen parameter
    /// has no gradient.
    pub fn parameter(&self, parameter: &Parameter) -> Var<'_> {
        self.parameter_leaf(parameter.id(), parameter.value(), !parameter.is_frozen())
    }

    pub(super) fn parameter_leaf(&self, id: ParameterId, value: &Tensor, learns: bool) -> Var<'_> {
        if !self.recording {
            return self.leaf(value.clone(), false);
        }
        let known = self.parameters.borrow().get(&id).copied();
        if let Some(index) = known {
            return Var { tape: self, index };
        }
        let var = self.leaf(value.clone(), learns);
        self.parameters.borrow_mut().insert(id, var.index);
        var
    }

    /// Computes `operator` on `inputs` and records it.
    ///
    /// # Panics
    /// If an input is of another tape or has been freed, or as the operator's forward rule says.
    pub fn apply<'t>(&'t self, mut operator: impl Operator, inputs: &[Var<'t>]) -> Var<'t> {
        self.assert_own(operator.name(), inputs);
        let (value, needs_gradient) = {
            let nodes = self.nodes.borrow();
            let values: SmallVec<[&Tensor; 8]> =
                inputs.iter().map(|v| nodes[v.index()].value()).collect();
            let needs = inputs.iter().any(|v| nodes[v.index()].needs_gradient);
            (operator.forward(&values), self.recording && needs)
        };
        self.push(Node {
            value: Some(value),
            inputs: if needs_gradient {
                inputs.iter().map(|v| v.index).collect()
            } else {
                Box::default()
            },
            operator: needs_gradient.then(|| Box::new(operator) as Box<dyn Operator>),
            needs_gradient,
        })
    }

    /// Number of values that the tape holds: those that have not been freed.
    pub fn num_values(&self) -> usize {
        self.nodes.borrow().iter().filter(|node| node.value.is_some()).count()
    }

    /// The present end of the record, for [`Tape::free_since`].
    pub fn mark(&self) -> Mark {
        Mark { tape: self.id, end: self.nodes.borrow().len() }
    }

    /// Frees the values recorded since `mark` except those of `kept`, so that what a block computes on its way does not take
    /// memory until the tape is cleared. Does nothing on a tape that records: its backward pass needs the values.
    ///
    /// ```
    /// use moe_core::{Tensor, tape::Tape};
    ///
    /// let tape = Tape::inference();
    /// let x = tape.constant(Tensor::scalar(3.0));
    /// let mark = tape.mark();
    /// let square = x * x;
    /// let y = square.exp();
    /// tape.free_since(mark, &[y]);
    /// assert_eq!(y.value().item(), Tensor::scalar(9.0).item().exp());
    /// // `square.value()` would panic.
    /// ```
    ///
    /// # Panics
    /// If the mark is of another tape.
    pub fn free_since(&self, mark: Mark, kept: &[Var<'_>]) {
        assert_eq!(mark.tape, self.id, "a mark of another tape");
        if self.recording {
            return;
        }
        for (index, node) in self.nodes.borrow_mut().iter_mut().enumerate().skip(mark.end) {
            if kept.iter().all(|var| var.index() != index) {
                node.value = None;
            }
        }
    }

    pub(super) fn assert_own(&self, operator: &str, inputs: &[Var<'_>]) {
        for var in inputs {
            assert_eq!(
                var.tape.id, self.id,
                "operator {operator} was given a variable of another tape"
            );
        }
    }

    fn leaf(&self, value: Tensor, needs_gradient: bool) -> Var<'_> {
        self.push(Node {
            value: Some(value),
            inputs: Box::default(),
            operator: None,
            needs_gradient,
        })
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
        write!(f, "Tape #{} of {} values", self.id, self.num_values())
    }
}

/// A place in the record of a [`Tape`]: see [`Tape::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    tape: u64,
    end: usize,
}

/// A value on a [`Tape`].
#[derive(Clone, Copy)]
pub struct Var<'t> {
    pub(super) tape: &'t Tape,
    pub(super) index: u32,
}

/// A few values of a tape: one per task, gate or part. Up to four take no memory from the heap.
pub type Vars<'t> = SmallVec<[Var<'t>; 4]>;

impl<'t> Var<'t> {
    /// The tape that the value is on.
    pub fn tape(&self) -> &'t Tape {
        self.tape
    }

    /// The value. It shares the buffer.
    ///
    /// # Panics
    /// If [`Tape::free_since`] has freed it.
    pub fn value(&self) -> Tensor {
        self.tape.nodes.borrow()[self.index()].value().clone()
    }

    /// The shape of the value.
    ///
    /// # Panics
    /// If [`Tape::free_since`] has freed it.
    pub fn shape(&self) -> Shape {
        *self.tape.nodes.borrow()[self.index()].value().shape()
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
        let value = self.tape.nodes.borrow()[self.index()].value.clone();
        match value {
            Some(value) => write!(f, "Var {} of {:?}: {value:?}", self.index, self.tape),
            None => write!(f, "Var {} of {:?}, freed", self.index, self.tape),
        }
    }
}
