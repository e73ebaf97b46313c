//! A product as the micro-kernels are given it.

use crate::real::Real;

use super::mat::Mat;
use super::zeros::Zeros;

/// A function of part of a row of a result: the row (counted over all groups), the first of its columns, and the values there.
pub type RowFn<'f> = &'f (dyn Fn(usize, usize, &mut [Real]) + Sync);

/// The value that sums begin with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start<'a> {
    /// 0.
    Zero,
    /// What the output holds.
    Present,
    /// The same values in every row, one for each column.
    Row(&'a [Real]),
}

/// `c = start + a b`, and then `after`.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    pub(super) a: Mat<'a>,
    pub(super) b: Mat<'a>,
    pub(super) start: Start<'a>,
    /// Called with parts of finished rows.
    pub(super) after: Option<RowFn<'a>>,
    /// Factors of the product that this thread is likely to compute next, which are prefetched.
    pub(super) following: Option<(Mat<'a>, Mat<'a>)>,
    pub(super) zeros: Zeros,
}
