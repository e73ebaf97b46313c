//! Blocks of rows that are computed in parallel, each on a tape of its own.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

use rayon::prelude::*;

use crate::{Buffer, ParameterId, Real, Tensor};

use super::gradients::Gradient;
use super::{Backward, InputGradients, Operator, Tape, Var};

/// A part of a computation, from one input to one output, with a tape of its own.
struct SubTape {
    tape: Tape,
    input: u32,
    output: u32,
    /// Leaves of the parameters that learn, in the order of their first use.
    parameters: Vec<(ParameterId, u32)>,
}

impl SubTape {
    /// Computes `f(x)`.
    fn run(
        x: Tensor,
        wants_input: bool,
        recording: bool,
        f: impl for<'s> FnOnce(Var<'s>) -> Var<'s>,
    ) -> Self {
        let mut tape = spares().pop().unwrap_or_default();
        tape.recording = recording;
        let x = if wants_input { tape.variable(x) } else { tape.constant(x) };
        let y = f(x);
        assert_eq!(y.tape.id, tape.id, "map_row_blocks: the output of a block is of another tape");
        let (input, output) = (x.index, y.index);
        let nodes = tape.nodes.get_mut();
        let known = tape.parameters.get_mut().iter();
        let learning = known.filter(|&(_, &leaf)| nodes[leaf as usize].needs_gradient);
        let mut parameters: Vec<_> = learning.map(|(&id, &leaf)| (id, leaf)).collect();
        parameters.sort_unstable_by_key(|&(_, leaf)| leaf);
        SubTape { tape, input, output, parameters }
    }

    fn output(&self) -> Var<'_> {
        Var { tape: &self.tape, index: self.output }
    }

    /// Whether the output depends on anything that wants a gradient.
    fn needs_gradient(&self) -> bool {
        self.tape.nodes.borrow()[self.output as usize].needs_gradient
    }

    /// Writes the gradient of the input, and returns those of the parameters.
    fn backward(&self, cotangent: Tensor, dx: &mut [Real]) -> Vec<Option<Gradient>> {
        let mut gradients = self.tape.backward_from(self.output(), cotangent);
        match gradients.take_leaf(self.input) {
            Some(gradient) => dx.copy_from_slice(gradient.into_dense().as_slice()),
            None => dx.fill(0.0),
        }
        self.parameters.iter().map(|&(_, leaf)| gradients.take_leaf(leaf)).collect()
    }
}

/// The tape is kept for later blocks, with the room that its records take.
impl Drop for SubTape {
    fn drop(&mut self) {
        let mut tape = std::mem::take(&mut self.tape);
        tape.clear();
        spares().push(tape);
    }
}

/// Tapes of blocks that are done.
fn spares() -> MutexGuard<'static, Vec<Tape>> {
    static SPARES: Mutex<Vec<Tape>> = Mutex::new(Vec::new());
    // A list of tapes is whole also if a thread panicked while it held the lock.
    SPARES.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A block that has rows.
struct Block {
    number: usize,
    rows: Range<usize>,
    /// Absent where no gradient is needed. The lock is never waited for.
    sub_tape: Option<Mutex<SubTape>>,
}

impl Block {
    /// Its rows of a matrix.
    fn of(&self, matrix: &Tensor) -> Buffer<Real> {
        let cols = matrix.cols();
        Buffer::copy_of(&matrix.as_slice()[self.rows.start * cols..self.rows.end * cols])
    }

    fn backward(&self, cotangent: &Tensor, dx: &mut [Real]) -> Vec<Option<Gradient>> {
        let Some(sub_tape) = &self.sub_tape else {
            dx.fill(0.0);
            return Vec::new();
        };
        let sub_tape = sub_tape.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let cotangent = Tensor::from_buffer(sub_tape.output().shape(), self.of(cotangent));
        sub_tape.backward(cotangent, dx)
    }
}

/// The blocks' rows of `out`, a matrix with `cols` columns.
fn pieces<'a>(blocks: &[Block], cols: usize, mut out: &'a mut [Real]) -> Vec<&'a mut [Real]> {
    let piece = |block: &Block| out.split_off_mut(..block.rows.len() * cols);
    blocks.iter().map(piece).map(|piece| piece.expect("the blocks are the rows")).collect()
}

/// Its inputs are the rows and then, block by block, the parameters that learn.
struct RowBlocks {
    blocks: Vec<Block>,
    /// Computed before the operator is recorded, since only then its inputs are known.
    output: Option<Tensor>,
}

impl Operator for RowBlocks {
    fn name(&self) -> &'static str {
        "map_row_blocks"
    }

    fn forward(&mut self, _inputs: &[&Tensor]) -> Tensor {
        self.output.take().expect("forward is called once")
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let x = at.inputs[0];
        let cols = if gradients.wants(0) { x.cols() } else { 0 };
        let mut dx = Tensor::unspecified([x.rows(), cols]);
        let pieces = pieces(&self.blocks, cols, dx.as_mut_slice());
        let found: Vec<_> = (self.blocks.par_iter().zip(pieces).with_max_len(1))
            .map(|(block, dx)| block.backward(&at.cotangent, dx))
            .collect();
        if gradients.wants(0) {
            gradients.add(0, dx.reshape(*x.shape()));
        }
        for (i, gradient) in found.into_iter().flatten().enumerate() {
            if let Some(gradient) = gradient {
                gradients.add_gradient(1 + i, gradient);
            }
        }
    }
}

impl<'t> Var<'t> {
    /// `f(i, rows of block i)` for every block that has rows, in parallel; the outputs one below the other.
    ///
    /// Each block has a tape of its own, forward and backward, so that `f` may be made of any operators, and is one
    /// operator of this tape. The parameters that `f` uses get their gradients as if it ran on this tape; those of
    /// several blocks are added in the order of the blocks, so that bits do not depend on the number of threads. A
    /// parameter that only blocks without rows would use has no gradient. Leaves that `f` makes with
    /// [`Tape::variable`] stay inside.
    ///
    /// ```
    /// use moe_core::tape::Tape;
    /// use moe_core::{Parameter, Tensor};
    ///
    /// let weights = [2.0, 3.0].map(|w| Parameter::new(Tensor::full([1, 1], w)));
    /// let tape = Tape::new();
    /// let x = tape.constant(Tensor::new([3, 1], vec![1.0, 2.0, 3.0]));
    /// let y = x.map_row_blocks(&[0..2, 2..3], 1, |i, x| x.matmul(x.tape().parameter(&weights[i])));
    /// assert_eq!(y.value().as_slice(), [2.0, 4.0, 9.0]);
    /// let gradients = tape.backward(y.sum());
    /// assert_eq!(gradients.get(&weights[0]).unwrap().stored().item(), 3.0);
    /// ```
    ///
    /// A variable of this tape cannot be used inside, on another thread; what `f` needs comes in with the rows.
    /// ```compile_fail,E0277
    /// # use moe_core::{Tensor, tape::Tape};
    /// let tape = Tape::new();
    /// let x = tape.constant(Tensor::zeros([3, 1]));
    /// x.map_row_blocks(&[0..2, 2..3], 1, |_, rows| rows.matmul(x));
    /// ```
    ///
    /// # Shapes
    /// `[B, D]` → `[B, cols]`; from rows `[b, D]` of a block `f` makes `[b, cols]`.
    ///
    /// # Panics
    /// If the blocks are not all rows, one block after the other, or `f` panics or makes another shape.
    pub fn map_row_blocks(
        self,
        blocks: &[Range<usize>],
        cols: usize,
        f: impl for<'s> Fn(usize, Var<'s>) -> Var<'s> + Sync,
    ) -> Var<'t> {
        let (tape, x) = (self.tape, self.value());
        let (starts, ends) = (blocks.iter().map(|b| b.start), blocks.iter().map(|b| b.end));
        assert!(
            blocks.iter().all(|block| block.start <= block.end)
                && starts.chain([x.rows()]).eq([0].into_iter().chain(ends)),
            "map_row_blocks: the blocks {blocks:?} are not {} rows one after the other",
            x.rows()
        );
        let with_rows = blocks.iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        let mut blocks: Vec<Block> = with_rows
            .map(|(number, rows)| Block { number, rows: rows.clone(), sub_tape: None })
            .collect();

        let (recording, wants_x) =
            (tape.recording, tape.nodes.borrow()[self.index()].needs_gradient);
        let mut output = Tensor::unspecified([x.rows(), cols]);
        let pieces = pieces(&blocks, cols, output.as_mut_slice());
        blocks.par_iter_mut().zip(pieces).with_max_len(1).for_each(|(block, out)| {
            let rows = Tensor::from_buffer([block.rows.len(), x.cols()], block.of(&x));
            let sub_tape = SubTape::run(rows, wants_x, recording, |x| f(block.number, x));
            let y = sub_tape.output().value();
            assert_eq!(
                y.shape().as_matrix(),
                (block.rows.len(), cols),
                "map_row_blocks: wrong shape {:?} of the output of block {}",
                y.shape(),
                block.number
            );
            out.copy_from_slice(y.as_slice());
            block.sub_tape = sub_tape.needs_gradient().then(|| Mutex::new(sub_tape));
        });

        let mut inputs = vec![self];
        for block in &mut blocks {
            let Some(sub_tape) = &mut block.sub_tape else { continue };
            let SubTape { tape: own, parameters, .. } =
                sub_tape.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
            let nodes = own.nodes.get_mut();
            inputs.extend(
                parameters
                    .iter()
                    .map(|&(id, leaf)| tape.parameter_leaf(id, &nodes[leaf as usize].value, true)),
            );
        }
        tape.apply(RowBlocks { blocks, output: Some(output) }, &inputs)
    }
}
