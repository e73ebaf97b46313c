//! Reverse-mode differentiation.
//!
//! A [`Tape`] records operators while they are computed; a [`Var`] is a small copyable handle to one of its
//! values. [`Tape::backward`] walks the record in reverse and returns the [`Gradients`] as a value.
//!
//! An operator is anything that implements [`Operator`]: the built-in ones of [`crate::ops`] and those of
//! other crates are recorded the same way, by [`Tape::apply`]. Blocks of rows that are computed in parallel have their
//! own tapes and are one operator of the outer tape: [`Var::map_row_blocks`].

mod gradients;
mod operator;
mod row_blocks;
mod sub_tape;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

pub use gradients::{Gradient, Gradients, RowGradient};
pub use operator::{Backward, InputGradients, Operator};

use crate::parameter::{Parameter, ParameterId};
use crate::tensor::{Shape, Tensor};

/// A record of operators and their values.
///
/// A tape serves one forward and at most a few backward passes, then it is cleared or dropped with its buffers.
pub struct Tape {
    id: u64,
    recording: bool,
    nodes: RefCell<Vec<Node>>,
    parameters: RefCell<HashMap<ParameterId, u32>>,
}

struct Node {
    value: Tensor,
    inputs: Box<[u32]>,
    /// Absent for leaves and where no gradient is needed.
    operator: Option<Box<dyn Operator>>,
    needs_gradient: bool,
}

impl Tape {
    /// A tape that records what a backward pass needs.
    pub fn new() -> Self {
        Self::with_recording(true)
    }

    /// A tape without gradients, for evaluation: operators are computed and forgotten.
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

    /// Forgets everything recorded; the values' buffers return to their pool. A training loop keeps one tape.
    pub fn clear(&mut self) {
        self.nodes.get_mut().clear();
        self.parameters.get_mut().clear();
    }

    /// Whether operators are recorded for a backward pass.
    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// A leaf without gradient.
    pub fn constant(&self, value: Tensor) -> Var<'_> {
        self.leaf(value, false)
    }

    /// A leaf whose gradient is wanted; read it with [`Gradients::wrt`].
    pub fn variable(&self, value: Tensor) -> Var<'_> {
        self.leaf(value, self.recording)
    }

    /// The leaf of a parameter: one per tape, however often it is used. That of a frozen one has no gradient.
    pub fn parameter(&self, parameter: &Parameter) -> Var<'_> {
        self.parameter_leaf(parameter.id(), parameter.value(), !parameter.is_frozen())
    }

    fn parameter_leaf(&self, id: ParameterId, value: &Tensor, learns: bool) -> Var<'_> {
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
            inputs: match needs_gradient {
                true => inputs.iter().map(|v| v.index).collect(),
                false => Box::default(),
            },
            operator: needs_gradient.then(|| Box::new(operator) as Box<dyn Operator>),
            needs_gradient,
        })
    }

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
                (node.inputs.iter().map(|&i| &nodes[i as usize].value)).collect();
            let mut sink = InputGradients::new(operator.name(), &nodes, &node.inputs, below);
            operator
                .backward(Backward { inputs: &values, output: &node.value, cotangent }, &mut sink);
        }
        Gradients::new(self.id, cotangents, self.parameters.borrow().clone())
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
    tape: &'t Tape,
    index: u32,
}

impl<'t> Var<'t> {
    /// The tape it is on.
    pub fn tape(&self) -> &'t Tape {
        self.tape
    }

    /// Its value; shares the buffer.
    pub fn value(&self) -> Tensor {
        self.tape.nodes.borrow()[self.index()].value.clone()
    }

    /// The shape of its value.
    pub fn shape(&self) -> Shape {
        *self.tape.nodes.borrow()[self.index()].value.shape()
    }

    /// The same value as a constant: no gradient flows through.
    pub fn detach(&self) -> Var<'t> {
        self.tape.constant(self.value())
    }

    fn index(&self) -> usize {
        self.index as usize
    }
}

impl fmt::Debug for Var<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Var {} of {:?}: {:?}", self.index, self.tape, self.value())
    }
}
