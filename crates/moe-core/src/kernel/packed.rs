//! Right factors that are copied once for many products.

use std::fmt;

use crate::buffer::Buffer;
use crate::real::Real;

use super::isa::Isa;
use super::mat::{Mat, PackedMat};
use super::raw::pack::in_panels;

/// Matrices of one shape that are the right factors of many products, copied in the order in which products read them.
pub struct Packed {
    values: Buffer<Real>,
    /// Rows of each matrix.
    rows: usize,
    /// Columns of each matrix.
    cols: usize,
    isa: Isa,
}

impl Packed {
    /// Copies the row-major matrices of `rows` by `cols` that stand one after the other in `data`. `None` if their columns do
    /// not fill the registers of this machine.
    pub(crate) fn new(data: &[Real], rows: usize, cols: usize) -> Option<Self> {
        let mut values = Buffer::unspecified(data.len());
        let (isa, size) = (Isa::best(), (rows * cols).max(1));
        for (from, to) in data.chunks_exact(size).zip(values.chunks_exact_mut(size)) {
            if !in_panels(isa, Mat::new(from, rows, cols), to) {
                return None;
            }
        }
        Some(Packed { values, rows, cols, isa })
    }

    /// Matrix `index` together with the original in `matrix`: products read whichever suits them.
    ///
    /// # Panics
    /// If there is no such matrix, or it has another shape.
    pub(crate) fn of<'a>(&'a self, index: usize, matrix: Mat<'a>) -> Mat<'a> {
        assert_eq!((matrix.rows, matrix.cols), (self.rows, self.cols), "the shape that was packed");
        let size = self.rows * self.cols;
        let values = &self.values[index * size..][..size];
        Mat { packed: Some(PackedMat { values, isa: self.isa }), ..matrix }
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values of {}x{} matrices", self.values.len(), self.rows, self.cols)
    }
}
