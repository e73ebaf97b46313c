//! Products of a single row.

use crate::kernel::geometry::WIDE_BLOCK;
use crate::kernel::product::{Product, Start};
use crate::real::Real;

use super::lanes::Lanes;
use super::prefetch::Ahead;
use super::tile::{Tile, tile};

/// Computes the first columns of a product that has a single row with tiles of `WIDE` registers, a few rows of `b` at a time,
/// so that `b` is read in place, once, along its rows. Returns the number of columns that it computed: those beyond the
/// last whole tile are left, or all.
///
/// # Safety
/// As for [`panels`](super::panels::panels).
#[inline(always)]
pub(super) unsafe fn wide_columns<L: Lanes, const WIDE: usize>(
    product: &Product<'_>,
    c: &mut [Real],
) -> usize {
    let Product { a, b, .. } = product;
    let width = WIDE * L::WIDTH;
    let done = if a.rows == 1 && b.col_stride == 1 { b.cols / width * width } else { 0 };
    if done == 0 {
        return 0;
    }
    let c = &mut c[..done];
    let mut ahead = Ahead::NOTHING;
    for from in (0..a.cols.max(1)).step_by(WIDE_BLOCK) {
        let inner = WIDE_BLOCK.min(a.cols - from);
        for (i, c) in c.chunks_exact_mut(width).enumerate() {
            let first = i * width;
            let start = match product.start {
                _ if from > 0 => c.as_ptr(),
                Start::Zero => std::ptr::null(),
                Start::Present => c.as_ptr(),
                Start::Row(row) => row[first..][..width].as_ptr(),
            };
            // SAFETY: `a` has one row; `b` has these columns, side by side, in every row, and `c` and `start` have as many.
            unsafe {
                let operands = Tile {
                    inner,
                    a: a.data.as_ptr().add(from * a.col_stride),
                    a_row: 0,
                    a_col: a.col_stride,
                    b: b.data.as_ptr().add(from * b.row_stride + first),
                    b_row: b.row_stride,
                    copy: std::ptr::null_mut(),
                    c: c.as_mut_ptr(),
                    c_row: 0,
                    start,
                    start_row: 0,
                    next: std::ptr::null(),
                };
                tile::<L, 1, WIDE, false, false>(operands, &mut ahead);
            }
        }
    }
    if let Some(after) = product.after {
        after(0, 0, c);
    }
    done
}
