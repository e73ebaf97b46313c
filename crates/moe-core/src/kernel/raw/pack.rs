//! Parts of the factors of a product, copied in the order in which tiles read them.

use std::ops::Range;

use crate::real::Real;

use super::super::mat::Mat;
use super::lanes::{Lanes, SQUARE};

/// Copies a part of `b` into a panel whose rows are `width` wide, zeros beyond the columns.
///
/// # Safety
/// The instruction set of `L` is enabled in the caller.
#[inline(always)]
pub(super) unsafe fn pack_panel<L: Lanes>(
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
            let from = &b.data[row * b.row_stride + cols.start..];
            out[..cols.len()].copy_from_slice(&from[..cols.len()]);
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

/// Copies all rows of some columns of `a` as strips of `ROWS` rows, column by column: what is beyond the last row is of
/// unspecified value.
///
/// # Safety
/// The instruction set of `L` is enabled in the caller.
#[inline(always)]
pub(super) unsafe fn pack_strips<L: Lanes, const ROWS: usize>(
    a: Mat<'_>,
    cols: Range<usize>,
    strips: &mut [Real],
) {
    let count = cols.len();
    if a.row_stride == 1 {
        // Along the rows of a matrix that stands transposed, a few at a time, so that what is written for a strip lies side
        // by side.
        let column =
            |i: usize| a.data[(cols.start + i) * a.col_stride..][..a.rows].as_chunks::<ROWS>();
        let mut done = 0;
        while done + SQUARE <= count {
            let columns: [_; SQUARE] = std::array::from_fn(|i| column(done + i).0);
            for strip in 0..a.rows / ROWS {
                let out = &mut strips[(strip * count + done) * ROWS..][..SQUARE * ROWS];
                let out = out.as_chunks_mut::<ROWS>().0;
                for i in 0..SQUARE {
                    out[i] = columns[i][strip];
                }
            }
            done += SQUARE;
        }
        for i in 0..count {
            let (whole, rest) = column(i);
            if i >= done {
                for (strip, rows) in whole.iter().enumerate() {
                    strips[(strip * count + i) * ROWS..][..ROWS].copy_from_slice(rows);
                }
            }
            strips[(whole.len() * count + i) * ROWS..][..rest.len()].copy_from_slice(rest);
        }
        return;
    }
    for (strip, first) in (0..a.rows).step_by(ROWS).enumerate() {
        let out = &mut strips[strip * count * ROWS..];
        let height = ROWS.min(a.rows - first);
        let mut done = 0;
        // Squares may have more rows than the strip: what is too much of a column is covered by the next one, and of the
        // last one by the next strip.
        while ROWS <= SQUARE
            && a.col_stride == 1
            && first + SQUARE <= a.rows
            && done + SQUARE <= count
        {
            let from = &a.data[first * a.row_stride + cols.start + done..];
            let from = &from[..(SQUARE - 1) * a.row_stride + SQUARE];
            let out = &mut out[done * ROWS..][..(SQUARE - 1) * ROWS + SQUARE];
            // SAFETY: both slices reach to the end of their last of `SQUARE` rows; the caller vouches for the
            // instruction set.
            unsafe { L::transpose(from.as_ptr(), a.row_stride, out.as_mut_ptr(), ROWS) };
            done += SQUARE;
        }
        for row in 0..height {
            let from = (first + row) * a.row_stride;
            for i in done..count {
                out[i * ROWS + row] = a.data[from + (cols.start + i) * a.col_stride];
            }
        }
    }
}
