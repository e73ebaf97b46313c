use std::fmt;

use crate::buffer::Buffer;
use crate::real::Real;

use super::mat::Mat;
use super::raw::{Isa, in_panels};

/// Matrices that are the right factors of many products, copied once in the order in which products read them.
pub(crate) struct Packed {
    numbers: Buffer<Real>,
    /// Of each matrix.
    rows: usize,
    cols: usize,
    isa: Isa,
}

/// A matrix of [`Packed`].
#[derive(Clone, Copy)]
pub(super) struct PackedMat<'a> {
    /// Blocks of the inner dimension, and in each its panels.
    pub(super) numbers: &'a [Real],
    /// The instruction set whose kernel reads them.
    pub(super) isa: Isa,
}

impl Packed {
    /// The row-major matrices of so many rows and columns that stand one after the other in `data`. `None` if their columns do
    /// not fill the registers of this machine.
    pub(crate) fn new(data: &[Real], rows: usize, cols: usize) -> Option<Self> {
        let mut numbers = Buffer::unspecified(data.len());
        let (isa, size) = (Isa::best(), (rows * cols).max(1));
        let mut all = data.chunks_exact(size).zip(numbers.chunks_exact_mut(size));
        all.all(|(from, to)| in_panels(isa, Mat::new(from, rows, cols), to)).then_some(Packed {
            numbers,
            rows,
            cols,
            isa,
        })
    }

    /// Matrix `index`, which stands in `matrix` as it was copied from: products read whichever suits them.
    ///
    /// # Panics
    /// If there is no such matrix, or it has another shape.
    pub(crate) fn of<'a>(&'a self, index: usize, matrix: Mat<'a>) -> Mat<'a> {
        assert_eq!((matrix.rows, matrix.cols), (self.rows, self.cols), "the shape that was packed");
        let size = self.rows * self.cols;
        let numbers = &self.numbers[index * size..][..size];
        Mat { packed: Some(PackedMat { numbers, isa: self.isa }), ..matrix }
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} numbers of {}x{} matrices", self.numbers.len(), self.rows, self.cols)
    }
}
