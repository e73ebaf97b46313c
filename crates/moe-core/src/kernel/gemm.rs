use std::cell::Cell;
use std::fmt;

use crate::Real;

use super::parallel::{ROW_BLOCK, for_each_block};
use super::raw;

/// A matrix in a slice, with strides.
#[derive(Clone, Copy)]
pub struct Mat<'a> {
    pub(super) data: &'a [Real],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a> Mat<'a> {
    /// A contiguous row-major matrix.
    pub fn new(data: &'a [Real], rows: usize, cols: usize) -> Self {
        Mat { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transpose: no element moves.
    pub fn t(self) -> Self {
        Mat {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Rows `start..start + rows`.
    fn row_range(self, start: usize, rows: usize) -> Self {
        let first = (start * self.row_stride).min(self.data.len());
        Mat { data: &self.data[first..], rows, ..self }
    }

    /// Panics unless every element lies inside the slice.
    pub(super) fn check(&self) {
        if self.rows > 0 && self.cols > 0 {
            let last = (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride;
            assert!(
                last < self.data.len(),
                "{self:?} reaches outside its slice of {}",
                self.data.len()
            );
        }
    }
}

impl fmt::Debug for Mat<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{} matrix", self.rows, self.cols)
    }
}

thread_local! {
    static MULTIPLY_ADDS: Cell<u64> = const { Cell::new(0) };
}

/// Multiply-adds that the door has been asked for by this thread so far.
///
/// A product counts where it was asked for, also when other threads compute it, so a test can tell
/// that work follows the number of slots.
pub fn multiply_adds() -> u64 {
    MULTIPLY_ADDS.get()
}

fn count(rows: usize, inner: usize, cols: usize) {
    MULTIPLY_ADDS.set(MULTIPLY_ADDS.get() + (rows * inner * cols) as u64);
}

/// `c = a b + beta c`, `c` row-major.
///
/// # Shapes
/// `a` `[m, k]`, `b` `[k, n]`, `c` `m * n` elements.
///
/// # Panics
/// If the shapes do not agree.
pub fn gemm(a: Mat<'_>, b: Mat<'_>, beta: Real, c: &mut [Real]) {
    gemm_blocks(beta, vec![Block { a, b, c }]);
}

/// One product of a group: see [`gemm_blocks`].
#[derive(Debug)]
pub struct Block<'a> {
    /// `[m, k]`
    pub a: Mat<'a>,
    /// `[k, n]`
    pub b: Mat<'a>,
    /// `m * n` elements, row-major.
    pub c: &'a mut [Real],
}

/// `c = a b + beta c` for every block, in one parallel region.
///
/// A block is cut into pieces of [`ROW_BLOCK`] rows of `c`, so that unequal blocks still fill all cores.
///
/// # Panics
/// If the shapes of a block do not agree.
pub fn gemm_blocks(beta: Real, blocks: Vec<Block<'_>>) {
    let mut pieces = Vec::with_capacity(blocks.len());
    let mut work = 0;
    for Block { a, b, c } in blocks {
        let (inner, cols) = (a.cols, b.cols);
        assert_eq!(inner, b.rows, "inner dimensions differ: {a:?} times {b:?}");
        assert_eq!(a.rows * cols, c.len(), "{a:?} times {b:?} does not fill {}", c.len());
        count(a.rows, inner, cols);
        work += a.rows * inner * cols;
        if cols == 0 {
            continue;
        }
        for (i, c) in c.chunks_mut(ROW_BLOCK * cols).enumerate() {
            pieces.push((a.row_range(i * ROW_BLOCK, c.len() / cols), b, c));
        }
    }
    for_each_block(work, pieces, |(a, b, c)| raw::product(a, b, beta, c));
}
