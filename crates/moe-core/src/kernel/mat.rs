//! Matrices in slices.

use std::fmt;

use crate::real::Real;

use super::isa::Isa;

/// A matrix in a slice, with strides.
#[derive(Clone, Copy)]
pub struct Mat<'a> {
    pub(super) data: &'a [Real],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
    /// A copy of the same values in another order.
    pub(super) packed: Option<PackedMat<'a>>,
}

/// The values of a matrix in the order in which products read a right factor.
#[derive(Clone, Copy)]
pub(super) struct PackedMat<'a> {
    /// Blocks of the inner dimension, and in each block its panels.
    pub(super) values: &'a [Real],
    /// The instruction set whose kernel reads them.
    pub(super) isa: Isa,
}

impl<'a> Mat<'a> {
    /// A contiguous row-major matrix.
    pub fn new(data: &'a [Real], rows: usize, cols: usize) -> Self {
        Mat { data, rows, cols, row_stride: cols, col_stride: 1, packed: None }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The transpose. No element moves.
    pub fn t(self) -> Self {
        Mat {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            packed: None,
            ..self
        }
    }

    /// Rows `start..start + rows`.
    pub(super) fn row_range(self, start: usize, rows: usize) -> Self {
        let first = (start * self.row_stride).min(self.data.len());
        Mat { data: &self.data[first..], rows, packed: None, ..self }
    }

    /// A row of a matrix whose rows are contiguous.
    pub(super) fn row(&self, row: usize) -> &'a [Real] {
        assert!(row < self.rows && self.col_stride == 1, "row {row} of a {self:?}");
        &self.data[row * self.row_stride..][..self.cols]
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
        if let Some(packed) = self.packed {
            assert_eq!(packed.values.len(), self.rows * self.cols, "{self:?} as panels");
        }
    }
}

impl fmt::Debug for Mat<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{} matrix", self.rows, self.cols)
    }
}
