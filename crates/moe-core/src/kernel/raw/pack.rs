//! Parts of the factors of a product, copied in the order in which tiles read them: `b` as panels, `a` as strips.

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use crate::kernel::geometry::{AVX2_VECTORS, AVX512_VECTORS};
use crate::kernel::geometry::{INNER_BLOCK, PORTABLE_VECTORS, SQUARE};
use crate::kernel::isa::Isa;
use crate::kernel::mat::Mat;
use crate::real::Real;

use super::lanes::{Lanes, Portable};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};

/// The columns of `b` and `c` that the registers of a tile hold. The last panel may have fewer.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    pub(super) first: usize,
    pub(super) cols: usize,
    pub(super) vectors: usize,
}

impl Panel {
    /// The panel that begins with column `first`. The last panel is as narrow as its columns allow; if one register would be
    /// left over, the last two panels share the columns.
    #[inline(always)]
    pub(super) fn new<L: Lanes, const VECTORS: usize>(first: usize, cols: usize) -> Self {
        let vectors = match (cols - first).div_ceil(L::WIDTH) {
            left if left == VECTORS + 1 => left.div_ceil(2),
            left => left.min(VECTORS),
        };
        Panel { first, cols: (vectors * L::WIDTH).min(cols - first), vectors }
    }

    /// The column after its last.
    pub(super) fn end(&self) -> usize {
        self.first + self.cols
    }

    /// Columns that its registers hold.
    pub(super) fn width<L: Lanes>(&self) -> usize {
        self.vectors * L::WIDTH
    }

    /// Whether its registers hold more columns than it has.
    pub(super) fn is_narrow<L: Lanes>(&self) -> bool {
        self.cols < self.width::<L>()
    }
}

/// The position of the panels from column `first` on of a block of the inner dimension in a copy of all of `b`.
#[inline(always)]
pub(super) fn panel_start(b: &Mat<'_>, block: &Range<usize>, first: usize) -> usize {
    block.start * b.cols + first * block.len()
}

/// Copies a row-major `b` as panels, all panels of a block of the inner dimension before the next block. Copies nothing and
/// returns false if its columns do not fill registers.
///
/// # Panics
/// If `to` has another length.
fn panels_of<L: Lanes, const VECTORS: usize>(b: Mat<'_>, to: &mut [Real]) -> bool {
    assert_eq!(to.len(), b.rows * b.cols, "{b:?} as panels");
    if !b.cols.is_multiple_of(L::WIDTH) {
        return false;
    }
    for start in (0..b.rows).step_by(INNER_BLOCK) {
        let block = start..b.rows.min(start + INNER_BLOCK);
        let mut first = 0;
        while first < b.cols {
            let panel = Panel::new::<L, VECTORS>(first, b.cols);
            let to = &mut to[panel_start(&b, &block, first)..];
            for (row, to) in block.clone().zip(to.chunks_exact_mut(panel.cols)) {
                to.copy_from_slice(&b.row(row)[first..panel.end()]);
            }
            first = panel.end();
        }
    }
    true
}

/// Copies a row-major `b` in the order in which the kernel of an instruction set reads it. Copies nothing and returns false if
/// its columns do not fill registers.
///
/// # Panics
/// If `to` has another length than `b`.
pub(crate) fn in_panels(isa: Isa, b: Mat<'_>, to: &mut [Real]) -> bool {
    match isa {
        Isa::Portable => panels_of::<Portable, PORTABLE_VECTORS>(b, to),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => panels_of::<Avx2, AVX2_VECTORS>(b, to),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => panels_of::<Avx512, AVX512_VECTORS>(b, to),
    }
}

/// Copies a part of `b` into a panel whose rows are `width` wide. Beyond the columns it holds zeros.
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
        // Squares of a transposed matrix are read along its rows and written along the panel's.
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

/// Copies all rows of some columns of `a` as strips of `ROWS` rows, column by column. Values beyond the last row are
/// unspecified.
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
        // A transposed matrix is read along its rows, a few at a time, so that the values written for a strip are contiguous.
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
        // A square may have more rows than the strip: the next column overwrites the excess of each column, and the next strip
        // that of the last one.
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
