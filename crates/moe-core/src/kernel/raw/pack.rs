//! Panels of the right factor of a product, copied so that their rows are contiguous.

use std::ops::Range;

use crate::Real;

use super::super::mat::Mat;
use super::lanes::{Lanes, SQUARE};

/// Copies a part of `b` into a panel whose rows are `width` wide, zeros beyond the columns.
///
/// # Safety
/// The instruction set of `L` is enabled in the caller.
#[inline(always)]
pub(super) unsafe fn pack<L: Lanes>(
    b: Mat<'_>,
    rows: Range<usize>,
    cols: Range<usize>,
    width: usize,
    panel: &mut [Real],
) {
    let panel = &mut panel[..rows.len() * width];
    if cols.len() < width {
        panel.fill(0.0);
    }
    if b.col_stride == 1 {
        for (row, out) in rows.zip(panel.chunks_exact_mut(width)) {
            let from = &b.data[row * b.row_stride + cols.start..][..cols.len()];
            if cols.len() == width {
                for at in (0..width).step_by(L::WIDTH) {
                    // SAFETY: `from` and `out` hold `width` numbers, a whole number of registers; the caller vouches for
                    // the instruction set.
                    unsafe { L::store(out.as_mut_ptr().add(at), L::load(from.as_ptr().add(at))) };
                }
            } else {
                out[..cols.len()].copy_from_slice(from);
            }
        }
        return;
    }
    let at = |row: usize, col: usize| b.data[row * b.row_stride + col * b.col_stride];
    for first in cols.clone().step_by(SQUARE) {
        let (count, to) = (SQUARE.min(cols.end - first), first - cols.start);
        let mut row = rows.start;
        // Squares of a matrix that stands transposed: read along its rows, written along the panel's.
        while b.row_stride == 1 && count == SQUARE && row + SQUARE <= rows.end {
            let from = &b.data[row + first * b.col_stride..];
            let from = &from[..(SQUARE - 1) * b.col_stride + SQUARE];
            let out = &mut panel[(row - rows.start) * width + to..];
            let out = &mut out[..(SQUARE - 1) * width + SQUARE];
            // SAFETY: both slices reach to the end of their last of `SQUARE` rows; the caller vouches for the
            // instruction set.
            unsafe { L::transpose(from.as_ptr(), b.col_stride, out.as_mut_ptr(), width) };
            row += SQUARE;
        }
        for row in row..rows.end {
            let out = &mut panel[(row - rows.start) * width + to..][..count];
            out.iter_mut().enumerate().for_each(|(j, out)| *out = at(row, first + j));
        }
    }
}
