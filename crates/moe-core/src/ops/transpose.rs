use std::ops::Range;

use crate::kernel::parallel::for_row_blocks;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::{Shape, Tensor};

/// Side of the squares that are copied together, so that their source and their target both stay in the cache.
const TILE: usize = 16;

struct Transpose {
    /// The axes, ascending.
    axes: [usize; 2],
}

/// Squares that cover `rows` by `cols`, as ranges of both.
fn tiles(rows: usize, cols: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let cut = |end: usize| (0..end).step_by(TILE).map(move |at| at..end.min(at + TILE));
    cut(rows).flat_map(move |rows| cut(cols).map(move |cols| (rows.clone(), cols)))
}

/// `x` with two axes swapped, `first` before `second`.
fn transposed(x: &Tensor, [first, second]: [usize; 2]) -> Tensor {
    let shape = x.shape();
    let mut dims = shape.to_vec();
    dims.swap(first, second);
    // x is [outer, a, middle, b, inner], the result [outer, b, middle, a, inner].
    let (a, b) = (shape[first], shape[second]);
    let middle: usize = shape[first + 1..second].iter().product();
    let inner: usize = shape[second + 1..].iter().product();
    let mut out = Tensor::unspecified(Shape::new(&dims));
    let cols = middle * a * inner;
    let x = x.as_slice();
    for_row_blocks(out.as_mut_slice(), cols, |first_row, block| {
        let rows = block.len() / cols;
        // Position in x of the row of the result, and the distance between its elements.
        let start = |row: usize| (row / b * a * middle * b + row % b) * inner;
        let stride = b * inner;
        for m in 0..middle {
            for (tile_row, tile) in tiles(rows, a) {
                for row in tile_row {
                    let (from, to) =
                        (start(first_row + row) + m * stride, row * cols + m * a * inner);
                    for i in tile.clone() {
                        let (from, to) = (from + i * middle * stride, to + i * inner);
                        if inner == 1 {
                            block[to] = x[from];
                        } else {
                            block[to..to + inner].copy_from_slice(&x[from..from + inner]);
                        }
                    }
                }
            }
        }
    });
    out
}

impl Operator for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        transposed(inputs[0], self.axes)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        gradients.add(0, transposed(&at.cotangent, self.axes));
    }
}

impl<'t> Var<'t> {
    /// Swaps two axes. A product needs no transposed copy: see [`Var::matmul_with`].
    ///
    /// # Shapes
    /// `[…, A, …, B, …]` → `[…, B, …, A, …]`
    ///
    /// # Panics
    /// If one of the axes does not exist.
    pub fn transpose(self, a: usize, b: usize) -> Var<'t> {
        let shape = self.shape();
        assert!(
            a.max(b) < shape.rank(),
            "transpose: axes {a} and {b} of a tensor of shape {shape:?}"
        );
        if a == b {
            return self;
        }
        self.tape().apply(Transpose { axes: [a.min(b), a.max(b)] }, &[self])
    }
}
