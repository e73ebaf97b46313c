//! Products with a factor that has many zeros, as ReLU and dropout leave it: only its non-zeros are multiplied.
//!
//! A row of the result is a sum of rows of the other factor, a few registers of columns at a time, of which a panel stays in
//! the first-level cache. Each element is the chain of multiply-adds of the dense product without those of zeros, which change
//! nothing.

use crate::kernel::geometry::{
    LINE, MOST_LISTED, MOST_TURNED, SPARSE_LEAST_ROWS, SPARSE_PANEL, SPARSE_VECTORS, SQUARE,
};
use crate::kernel::mat::Mat;
use crate::kernel::product::{Product, Start};
use crate::kernel::zeros::Zeros;
use crate::real::Real;

use super::lanes::{Lanes, prefetch_nearest};
use super::nonzeros::Nonzeros;
use super::pack::pack_panel;
use super::prefetch::Ahead;
use super::scratch::Scratch;

/// Computes a product if one of its factors has many zeros and its shape suits. Returns whether it has been computed.
///
/// # Safety
/// The instruction set of `L` is enabled in the caller; the shapes of the product and `c` have been checked against each
/// other.
#[inline(always)]
pub(super) unsafe fn sparse<L: Lanes>(
    product: &Product<'_>,
    c: &mut [Real],
    scratch: &mut Scratch,
) -> bool {
    let Scratch { values, nonzeros } = scratch;
    let Product { a, b, .. } = *product;
    let is_plain = product.after.is_none() && matches!(product.start, Start::Zero);
    let fits =
        |rows: usize, cols: usize| rows >= SPARSE_LEAST_ROWS && cols.is_multiple_of(L::WIDTH);
    match product.zeros {
        // SAFETY: as for this function.
        Zeros::Left if fits(a.rows, b.cols) => unsafe {
            sparse_left::<L>(product, c, nonzeros, values);
        },
        Zeros::Right if fits(b.cols, a.rows) && is_plain => {
            let turned = (MOST_LISTED / a.cols).min(MOST_TURNED) / SQUARE * SQUARE;
            if turned < SPARSE_LEAST_ROWS || !b.cols.is_multiple_of(SQUARE) {
                return false;
            }
            // SAFETY: as for this function; `turned` is a multiple of `SQUARE` and no more than `MOST_TURNED`.
            unsafe { sparse_right::<L>(product, c, nonzeros, values, turned) };
        }
        _ => return false,
    }
    true
}

/// Rows of a panel.
fn block_of<L: Lanes>() -> usize {
    SPARSE_PANEL / (SPARSE_VECTORS * L::WIDTH * size_of::<Real>())
}

/// Registers of the next panel, of those that are left.
fn vectors_of(left: usize) -> usize {
    [SPARSE_VECTORS, 4, 2].into_iter().find(|&vectors| vectors <= left).unwrap_or(1)
}

/// The part of `b` that is copied for the panel that begins with this row and column.
fn panel_from<L: Lanes>(b: Mat<'_>, row: usize, col: usize) -> Ahead {
    let rows = row..b.rows.min(row + block_of::<L>());
    Ahead::right(b, rows, col..b.cols.min(col + SPARSE_VECTORS * L::WIDTH))
}

/// The columns of a panel for some rows of a result.
struct Rows<'r> {
    nonzeros: &'r Nonzeros,
    block: usize,
    count: usize,
    panel: *const Real,
    c: *mut Real,
    c_row: usize,
    /// The values that the sums begin with. Null: zeros.
    start: *const Real,
    /// Distance from a row of `start` to the next. 0 if all rows begin alike.
    start_row: usize,
}

impl Rows<'_> {
    /// Computes the rows with `vectors` registers each.
    ///
    /// # Safety
    /// The instruction set of `L` is enabled in the caller. There are lists for the rows of the block. `panel` is valid for
    /// reads of `vectors` registers, one after the other, for each place of the block; `c` for writes of as many from `i *
    /// c_row`, for i below `count`, and overlaps neither panel nor lists; `start` is null or valid for reads of as many from
    /// `i * start_row`, and may be `c`.
    #[inline(always)]
    unsafe fn compute<L: Lanes>(&self, vectors: usize, ahead: &mut Ahead) {
        // SAFETY: as for this function.
        unsafe {
            match vectors {
                1 => self.compute_wide::<L, 1>(ahead),
                2 => self.compute_wide::<L, 2>(ahead),
                4 => self.compute_wide::<L, 4>(ahead),
                _ => self.compute_wide::<L, SPARSE_VECTORS>(ahead),
            }
        }
    }

    /// # Safety
    /// As [`Self::compute`].
    #[inline(always)]
    unsafe fn compute_wide<L: Lanes, const V: usize>(&self, ahead: &mut Ahead) {
        for row in 0..self.count {
            ahead.request();
            let mut sums = [L::zero(); V];
            // SAFETY: every address is one that the caller vouches for, except those that are prefetched, which need not be valid.
            unsafe {
                if !self.start.is_null() {
                    let start = self.start.wrapping_add(row * self.start_row);
                    for v in 0..V {
                        sums[v] = L::load(start.add(v * L::WIDTH));
                    }
                    for at in (0..V * L::WIDTH).step_by(LINE) {
                        prefetch_nearest(start.wrapping_add(self.start_row + at));
                    }
                }
                let (values, places) = self.nonzeros.of(self.block, row);
                for (&value, &place) in values.iter().zip(places) {
                    let factor = L::splat(value);
                    let from = self.panel.add(place as usize * (V * L::WIDTH));
                    for v in 0..V {
                        sums[v] = L::multiply_add(factor, L::load(from.add(v * L::WIDTH)), sums[v]);
                    }
                }
                let c = self.c.add(row * self.c_row);
                for v in 0..V {
                    L::store(c.add(v * L::WIDTH), sums[v]);
                }
            }
        }
    }
}

/// [`sparse`] for a left factor with zeros.
///
/// # Safety
/// As [`sparse`]; `c` has a multiple of `L::WIDTH` columns.
#[inline(always)]
unsafe fn sparse_left<L: Lanes>(
    product: &Product<'_>,
    c: &mut [Real],
    nonzeros: &mut Nonzeros,
    packed: &mut [Real],
) {
    let Product { a, b, .. } = *product;
    let (inner, cols) = (a.cols, b.cols);
    for from in (0..inner).step_by(block_of::<L>()) {
        let block = from..inner.min(from + block_of::<L>());
        // SAFETY: as for this function.
        unsafe { nonzeros.find::<L>(a, 0..a.rows, block.clone(), block.len()) };
        let mut first = 0;
        while first < cols {
            let vectors = vectors_of((cols - first) / L::WIDTH);
            let end = first + vectors * L::WIDTH;
            // SAFETY: as for this function.
            unsafe { pack_panel::<L>(b, block.clone(), first..end, end - first, packed) };
            let ahead = match product.following {
                _ if end < cols => panel_from::<L>(b, from, end),
                _ if block.end < inner => panel_from::<L>(b, block.end, 0),
                Some((_, b)) => panel_from::<L>(b, 0, 0),
                None => Ahead::NOTHING,
            };
            let c = c[first..].as_mut_ptr();
            let (start, start_row) = match product.start {
                Start::Zero if from == 0 => (std::ptr::null(), 0),
                Start::Row(row) if from == 0 => (row[first..].as_ptr(), 0),
                _ => (c.cast_const(), cols),
            };
            let rows = Rows {
                nonzeros,
                block: 0,
                count: a.rows,
                panel: packed.as_ptr(),
                c,
                c_row: cols,
                start,
                start_row,
            };
            // SAFETY: the panel has a row for each place of the block; `c` and `start` have these columns.
            unsafe { rows.compute::<L>(vectors, &mut ahead.in_requests(a.rows)) };
            first = end;
        }
    }
    if let Some(after) = product.after {
        c.chunks_exact_mut(cols).enumerate().for_each(|(row, c)| after(row, 0, c));
    }
}

/// [`sparse`] for a right factor with zeros: computes the transposed product, `turned` rows of it at a time.
///
/// # Safety
/// As [`sparse`]; `c` has a multiple of `L::WIDTH` rows and of [`SQUARE`] columns, and `turned` is one of [`SQUARE`], and no
/// more than [`MOST_TURNED`].
#[inline(always)]
unsafe fn sparse_right<L: Lanes>(
    product: &Product<'_>,
    c: &mut [Real],
    nonzeros: &mut Nonzeros,
    scratch: &mut [Real],
    turned: usize,
) {
    let (a, b) = (product.b.t(), product.a.t());
    let (inner, rows, cols, widest) = (a.cols, a.rows, b.cols, SPARSE_VECTORS * L::WIDTH);
    let (packed, sums) = scratch.split_at_mut(block_of::<L>() * widest);
    let sums = &mut sums[..MOST_TURNED * widest];
    for row in (0..rows).step_by(turned) {
        let group = row..rows.min(row + turned);
        // SAFETY: as for this function.
        unsafe { nonzeros.find::<L>(a, group.clone(), 0..inner, block_of::<L>()) };
        let mut first = 0;
        while first < cols {
            let vectors = vectors_of((cols - first) / L::WIDTH);
            let (width, end) = (vectors * L::WIDTH, first + vectors * L::WIDTH);
            for (i, from) in (0..inner).step_by(block_of::<L>()).enumerate() {
                let block = from..inner.min(from + block_of::<L>());
                // SAFETY: as for this function.
                unsafe { pack_panel::<L>(b, block.clone(), first..end, width, packed) };
                let ahead = match product.following {
                    _ if block.end < inner => panel_from::<L>(b, block.end, first),
                    _ if end < cols => panel_from::<L>(b, 0, end),
                    _ if group.end < rows => panel_from::<L>(b, 0, 0),
                    Some((a, _)) => panel_from::<L>(a.t(), 0, 0),
                    None => Ahead::NOTHING,
                };
                let c = sums.as_mut_ptr();
                let rows = Rows {
                    nonzeros,
                    block: i,
                    count: group.len(),
                    panel: packed.as_ptr(),
                    c,
                    c_row: width,
                    start: if i == 0 { std::ptr::null() } else { c.cast_const() },
                    start_row: width,
                };
                // SAFETY: the panel has a row for each place of the block, and `sums` room for `turned` rows of it.
                unsafe { rows.compute::<L>(vectors, &mut ahead.in_requests(group.len())) };
            }
            for i in (0..width).step_by(SQUARE) {
                for j in (0..group.len()).step_by(SQUARE) {
                    let from = &sums[j * width + i..][..(SQUARE - 1) * width + SQUARE];
                    let to = &mut c[(first + i) * rows + row + j..];
                    let to = &mut to[..(SQUARE - 1) * rows + SQUARE];
                    // SAFETY: both slices reach to the end of their last of `SQUARE` rows; the caller vouches for the
                    // instruction set.
                    unsafe { L::transpose(from.as_ptr(), width, to.as_mut_ptr(), rows) };
                }
            }
            first = end;
        }
    }
}
