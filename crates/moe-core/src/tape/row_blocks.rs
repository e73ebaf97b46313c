//! Blocks of rows that are computed in parallel.

use std::ops::Range;

use rayon::prelude::*;

use crate::buffer::Buffer;
use crate::real::Real;
use crate::tensor::Tensor;

use super::gradient::Gradient;
use super::operator::{Backward, InputGradients, Operator};
use super::sub_tape::SubTape;
use super::tape::Var;

/// A block with at least one row.
struct Block {
    number: usize,
    rows: Range<usize>,
    /// Absent where no gradient is needed.
    sub_tape: Option<SubTape>,
}

impl Block {
    /// The rows of a matrix that belong to the block.
    fn of(&self, matrix: &Tensor) -> Buffer<Real> {
        let cols = matrix.cols();
        Buffer::copy_of(&matrix.as_slice()[self.rows.start * cols..self.rows.end * cols])
    }

    /// Writes the gradient of the rows to `dx` and returns the gradients of the parameters.
    fn backward(&self, cotangent: &Tensor, dx: &mut [Real]) -> Vec<Option<Gradient>> {
        let sub_tape = self.sub_tape.as_ref();
        let found = sub_tape.map(|tape| tape.backward(self.of(cotangent))).unwrap_or_default();
        match found.of_input {
            Some(gradient) => dx.copy_from_slice(gradient.into_dense().as_slice()),
            None => dx.fill(0.0),
        }
        found.of_parameters
    }
}

/// The rows of each block in `out`, a matrix with `cols` columns.
fn pieces<'a>(blocks: &[Block], cols: usize, mut out: &'a mut [Real]) -> Vec<&'a mut [Real]> {
    let piece = |block: &Block| out.split_off_mut(..block.rows.len() * cols);
    blocks.iter().map(piece).map(|piece| piece.expect("the blocks are the rows")).collect()
}

/// The blocks as one operator. Its inputs are the rows and then, block by block, the parameters that learn.
struct RowBlocks {
    blocks: Vec<Block>,
    /// Computed before the operator is recorded, since its inputs are known only then.
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
    /// Computes `f(i, rows of block i)` for every block that has rows, in parallel, and stacks the outputs.
    ///
    /// Each block has its own tape, forward and backward, so that `f` may consist of any operators; all blocks together are one
    /// operator of this tape. The parameters that `f` uses get their gradients as if it ran on this tape. Gradients from
    /// several blocks are added in the order of the blocks, so that bits do not depend on the number of threads. A parameter
    /// that only blocks without rows would use has no gradient. Leaves that `f` makes with
    /// [`Tape::variable`](super::Tape::variable) are local to the block.
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
    /// A variable of this tape cannot be used in `f`, which may run on another thread. All that `f` needs comes with the rows.
    /// ```compile_fail,E0277
    /// # use moe_core::{Tensor, tape::Tape};
    /// let tape = Tape::new();
    /// let x = tape.constant(Tensor::zeros([3, 1]));
    /// x.map_row_blocks(&[0..2, 2..3], 1, |_, rows| rows.matmul(x));
    /// ```
    ///
    /// # Shapes
    /// `[B, D]` → `[B, cols]`. `f` maps the rows `[b, D]` of a block to `[b, cols]`.
    ///
    /// # Panics
    /// If the blocks do not cover all rows one after another, or `f` panics or returns another shape.
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
            let name = "map_row_blocks: the output of a block";
            let (y, sub_tape) =
                SubTape::run(name, rows, wants_x, recording, |x| f(block.number, x));
            assert_eq!(
                y.shape().as_matrix(),
                (block.rows.len(), cols),
                "map_row_blocks: wrong shape {:?} of the output of block {}",
                y.shape(),
                block.number
            );
            out.copy_from_slice(y.as_slice());
            block.sub_tape = sub_tape;
        });

        let mut inputs = vec![self];
        for sub_tape in blocks.iter().filter_map(|block| block.sub_tape.as_ref()) {
            sub_tape.parameters_on(tape, &mut inputs);
        }
        tape.apply(RowBlocks { blocks, output: Some(output) }, &inputs)
    }
}
