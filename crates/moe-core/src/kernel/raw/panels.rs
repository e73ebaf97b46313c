//! The loops of a dense product: over blocks of the inner dimension, groups of panels, strips of rows and the panels of a
//! group, from the outermost to the innermost. `README.md` in the folder above draws them.

use std::ops::Range;

use crate::kernel::geometry::{FEW_STRIPS, INNER_BLOCK, MOST_COLUMNS, MOST_ROWS, PANELS, STEPS};
use crate::kernel::mat::Mat;
use crate::kernel::product::{Product, RowFn, Start};
use crate::real::Real;

use super::lanes::Lanes;
use super::pack::{Panel, pack_panel, pack_strips, panel_start};
use super::prefetch::Ahead;
use super::row::wide_columns;
use super::tile::{Tile, strip};

/// Panels that are computed together.
struct Group {
    panels: [Panel; PANELS],
    count: usize,
}

impl Group {
    #[inline(always)]
    fn new<L: Lanes, const VECTORS: usize>(first: usize, cols: usize) -> Self {
        let mut panels = [Panel::new::<L, VECTORS>(first, cols); PANELS];
        let mut count = 1;
        while count < PANELS && panels[count - 1].end() < cols {
            panels[count] = Panel::new::<L, VECTORS>(panels[count - 1].end(), cols);
            count += 1;
        }
        Group { panels, count }
    }

    fn panels(&self) -> &[Panel] {
        &self.panels[..self.count]
    }

    /// The column after its last.
    fn end(&self) -> usize {
        self.panels[self.count - 1].end()
    }

    /// Its last panel, if that has fewer columns than its registers hold.
    fn narrow<L: Lanes>(&self) -> Option<Panel> {
        Some(self.panels[self.count - 1]).filter(Panel::is_narrow::<L>)
    }

    /// Copies the columns of the group of a block of `b`, panel by panel.
    ///
    /// # Safety
    /// The instruction set of `L` is enabled in the caller.
    #[inline(always)]
    unsafe fn pack<L: Lanes>(&self, b: Mat<'_>, block: &Range<usize>, to: &mut [Real]) {
        for panel in self.panels() {
            let to = &mut to[(panel.first - self.panels[0].first) * block.len()..];
            let (cols, width) = (panel.first..panel.end(), panel.width::<L>());
            // SAFETY: as for this function.
            unsafe { pack_panel::<L>(b, block.clone(), cols, width, to) };
        }
    }
}

/// The place from which tiles read the columns of `b` of a group.
#[derive(Clone, Copy)]
enum Right {
    /// Panels, copied just before this product or, for many products, long before.
    Panels(*const Real),
    /// `b` itself: there are too few rows for a copy to pay.
    InPlace,
    /// `b` itself for the first strip, which copies it to these panels in passing; the panels for all other strips.
    CopiedInPassing(*mut Real),
}

/// The operands of a block of the inner dimension and a group of panels.
struct Place<'p> {
    product: Product<'p>,
    block: Range<usize>,
    group: Group,
    start: Start<'p>,
    /// Strips of `a`, if it has been copied.
    strips: Option<*const Real>,
    right: Right,
    /// Room for the panel that has fewer columns than its registers hold: its tiles write here and not to `c`.
    narrow: *mut Real,
    c: *mut Real,
}

impl Place<'_> {
    /// The operands of the tile of a panel and of the strip of `ROWS` rows that begins with `row`.
    ///
    /// # Safety
    /// The row, the columns of the panel and the block lie inside `a`, `b` and `c`, whose sizes have been checked, and every
    /// copy that `strips`, `right` and `narrow` point to has the size and the values that it is made for.
    #[inline(always)]
    unsafe fn tile<L: Lanes, const ROWS: usize>(&self, panel: &Panel, row: usize) -> Tile {
        // SAFETY: the caller vouches for the row, the columns and the copies.
        unsafe {
            let (a, a_row, a_col) = self.left::<ROWS>(row);
            let (b, b_row, copy) = self.right::<L>(panel, row);
            let (c, c_row) = self.result::<L>(panel, row);
            let (start, start_row) = match self.start {
                Start::Zero => (std::ptr::null(), 0),
                // A `Start::Row` is as long as a row of `c`.
                Start::Row(row) if !panel.is_narrow::<L>() => (row.as_ptr().add(panel.first), 0),
                Start::Present | Start::Row(_) => (c.cast_const(), c_row),
            };
            let next = self.next::<L, ROWS>(panel, row, c);
            let inner = self.block.len();
            Tile { inner, a, a_row, a_col, b, b_row, copy, c, c_row, start, start_row, next }
        }
    }

    /// The address of the factors of `a`, and the strides of its rows and columns.
    ///
    /// # Safety
    /// As [`Self::tile`].
    #[inline(always)]
    unsafe fn left<const ROWS: usize>(&self, row: usize) -> (*const Real, usize, usize) {
        let a = self.product.a;
        // SAFETY: the row and the block lie inside `a`; strips are `ROWS` times the length of the block each.
        unsafe {
            match self.strips {
                Some(strips) => (strips.add(row * self.block.len()), 1, ROWS),
                None => {
                    let from = row * a.row_stride + self.block.start * a.col_stride;
                    (a.data.as_ptr().add(from), a.row_stride, a.col_stride)
                }
            }
        }
    }

    /// The address of the columns of `b`, the stride of its rows, and the address that they are copied to, if not null.
    ///
    /// # Safety
    /// As [`Self::tile`].
    #[inline(always)]
    unsafe fn right<L: Lanes>(&self, panel: &Panel, row: usize) -> (*const Real, usize, *mut Real) {
        let b = self.product.b;
        let in_group = (panel.first - self.group.panels[0].first) * self.block.len();
        // SAFETY: `b` is read in place only if the columns of its rows are contiguous and the panel's fill its registers. There
        // is room for PANELS panels of at most INNER_BLOCK rows; the first strip, which copies them in passing, has `ROWS` rows,
        // as there are many.
        unsafe {
            let in_place =
                b.data.as_ptr().wrapping_add(self.block.start * b.row_stride + panel.first);
            match self.right {
                Right::InPlace => (in_place, b.row_stride, std::ptr::null_mut()),
                Right::CopiedInPassing(panels) if row == 0 => {
                    (in_place, b.row_stride, panels.add(in_group))
                }
                Right::CopiedInPassing(panels) => {
                    (panels.add(in_group).cast_const(), panel.width::<L>(), std::ptr::null_mut())
                }
                Right::Panels(panels) => {
                    (panels.add(in_group), panel.width::<L>(), std::ptr::null_mut())
                }
            }
        }
    }

    /// The address of the result and the stride of its rows.
    ///
    /// # Safety
    /// As [`Self::tile`].
    #[inline(always)]
    unsafe fn result<L: Lanes>(&self, panel: &Panel, row: usize) -> (*mut Real, usize) {
        let (cols, width) = (self.product.b.cols, panel.width::<L>());
        // SAFETY: the row and the panel lie inside `c`; `narrow` has room for MOST_ROWS rows of MOST_COLUMNS numbers.
        unsafe {
            if panel.is_narrow::<L>() {
                (self.narrow.add(row * width), width)
            } else {
                (self.c.add(row * cols + panel.first), cols)
            }
        }
    }

    /// The part of `c` that the tile after this one writes: the columns to the right, or the first ones of the next strip. Null
    /// if that is not to be prefetched.
    #[inline(always)]
    fn next<L: Lanes, const ROWS: usize>(
        &self,
        panel: &Panel,
        row: usize,
        c: *mut Real,
    ) -> *const Real {
        if panel.is_narrow::<L>() {
            std::ptr::null()
        } else if panel.end() < self.group.end() {
            c.wrapping_add(panel.cols).cast_const()
        } else {
            let first = (row + ROWS) * self.product.b.cols + self.group.panels[0].first;
            self.c.wrapping_add(first).cast_const()
        }
    }

    /// Computes all strips of the group, and calls `after` with its columns of every row of a finished strip.
    ///
    /// # Safety
    /// As [`Self::tile`], for all rows and panels; the instruction set of `L` is enabled in the caller.
    #[inline(always)]
    unsafe fn strips<L: Lanes, const ROWS: usize, const VECTORS: usize>(
        &self,
        after: Option<RowFn<'_>>,
        ahead: &mut Ahead,
    ) {
        let (rows, cols) = (self.product.a.rows, self.product.b.cols);
        let (first, end) = (self.group.panels[0].first, self.group.end());
        for row in (0..rows).step_by(ROWS) {
            let height = ROWS.min(rows - row);
            for panel in self.group.panels() {
                // SAFETY: as for this function.
                unsafe {
                    let at = self.tile::<L, ROWS>(panel, row);
                    match panel.vectors {
                        1 => strip::<L, ROWS, 1>(height, at, ahead),
                        2 => strip::<L, ROWS, 2>(height, at, ahead),
                        _ => strip::<L, ROWS, VECTORS>(height, at, ahead),
                    }
                }
            }
            if let Some(after) = after {
                for row in row..row + height {
                    // SAFETY: a row of `c` has these columns, and nothing else refers to them now.
                    let done = unsafe {
                        let from = self.c.add(row * cols + first);
                        std::slice::from_raw_parts_mut(from, end - first)
                    };
                    after(row, first, done);
                }
            }
        }
    }
}

/// Copies the values that the sums of a narrow panel begin with to the room of its tiles.
fn load_narrow(
    panel: &Panel,
    start: Start<'_>,
    c: &[Real],
    cols: usize,
    room: &mut [Real],
    width: usize,
) {
    for (row, c) in room.chunks_exact_mut(width).zip(c.chunks_exact(cols)) {
        let from = match start {
            Start::Zero => break,
            Start::Present => c,
            Start::Row(row) => row,
        };
        row[..panel.cols].copy_from_slice(&from[panel.first..panel.end()]);
    }
}

/// Copies the result of a narrow panel from the room of its tiles, and calls `after` with the columns of its group, which
/// begins with column `first`, of every row.
fn store_narrow(
    (panel, first): (&Panel, usize),
    (room, width): (&[Real], usize),
    after: Option<RowFn<'_>>,
    (c, cols): (&mut [Real], usize),
) {
    for (i, (row, c)) in room.chunks_exact(width).zip(c.chunks_exact_mut(cols)).enumerate() {
        c[panel.first..panel.end()].copy_from_slice(&row[..panel.cols]);
        if let Some(after) = after {
            after(i, first, &mut c[first..panel.end()]);
        }
    }
}

/// Computes a product with tiles of `ROWS` rows and `VECTORS` registers; of a single row, with tiles of `WIDE` registers first.
///
/// # Safety
/// The instruction set of `L` is enabled in the caller; the shapes of the product and `c` have been checked against each
/// other.
#[inline(always)]
pub(super) unsafe fn panels<
    L: Lanes,
    const ROWS: usize,
    const VECTORS: usize,
    const WIDE: usize,
>(
    product: Product<'_>,
    c: &mut [Real],
    scratch: &mut [Real],
) {
    let Product { a, b, .. } = product;
    let (inner, cols) = (a.cols, b.cols);
    let (panels, rest) = scratch.split_at_mut(PANELS * INNER_BLOCK * MOST_COLUMNS);
    let (narrow, strips) = rest.split_at_mut(MOST_ROWS * MOST_COLUMNS);
    // SAFETY: as for this function.
    let in_wide_tiles = unsafe { wide_columns::<L, WIDE>(&product, c) };
    let has_many_rows = a.rows >= FEW_STRIPS * ROWS;
    // Tiles that read `a` along its rows gain from a copy only if there is more than one group.
    let least_cols = if a.col_stride == 1 { PANELS * VECTORS } else { VECTORS } * L::WIDTH;
    let in_strips = has_many_rows && cols > least_cols;
    // A copy from long before is of panels from column 0 on: what wide tiles leave does not begin with one.
    let packed = b.packed.filter(|_| in_wide_tiles == 0).map(|packed| packed.values);
    for from in (0..inner).step_by(INNER_BLOCK) {
        let block = from..inner.min(from + INNER_BLOCK);
        let start = if from > 0 { Start::Present } else { product.start };
        let after = product.after.filter(|_| block.end == inner);
        if in_strips {
            // SAFETY: as for this function.
            unsafe { pack_strips::<L, ROWS>(a, block.clone(), strips) };
        }
        let mut first = in_wide_tiles;
        while first < cols {
            let group = Group::new::<L, VECTORS>(first, cols);
            let (end, narrow_panel) = (group.end(), group.narrow::<L>());
            let right = if let Some(values) = packed {
                Right::Panels(values[panel_start(&b, &block, first)..].as_ptr())
            } else if b.col_stride != 1 || narrow_panel.is_some() {
                // SAFETY: as for this function.
                unsafe { group.pack::<L>(b, &block, panels) };
                Right::Panels(panels.as_ptr())
            } else if has_many_rows {
                Right::CopiedInPassing(panels.as_mut_ptr())
            } else {
                Right::InPlace
            };
            if let Some(panel) = &narrow_panel {
                load_narrow(panel, start, c, cols, narrow, panel.width::<L>());
            }
            let tiles = a.rows.div_ceil(ROWS) * group.count;
            let mut ahead = what_follows::<L, VECTORS>(&product, &block, end)
                .in_requests(tiles * block.len() / STEPS);
            let place = Place {
                product,
                block: block.clone(),
                group,
                start,
                strips: in_strips.then_some(strips.as_ptr()),
                right,
                narrow: narrow.as_mut_ptr(),
                c: c.as_mut_ptr(),
            };
            // Rows of a narrow panel are finished only when they are in `c`.
            let after_strip = after.filter(|_| narrow_panel.is_none());
            // SAFETY: the panels' columns are below `cols`, the block was made for `inner`, and what is not read in place has
            // just been copied.
            unsafe { place.strips::<L, ROWS, VECTORS>(after_strip, &mut ahead) };
            if let Some(panel) = &narrow_panel {
                store_narrow((panel, first), (narrow, panel.width::<L>()), after, (c, cols));
            }
            first = end;
        }
    }
}

/// The factors that are copied after the columns before `end` of a block of `b`: those of the next columns, of the next block,
/// or of the product after this one.
fn what_follows<L: Lanes, const VECTORS: usize>(
    product: &Product<'_>,
    block: &Range<usize>,
    end: usize,
) -> Ahead {
    let &Product { a, b, .. } = product;
    let group = PANELS * VECTORS * L::WIDTH;
    if end < b.cols {
        return Ahead::right(b, block.clone(), end..b.cols.min(end + group));
    }
    let (a, b, start) = match product.following {
        _ if block.end < b.rows => (a, b, block.end),
        Some((a, b)) => (a, b, 0),
        None => return Ahead::NOTHING,
    };
    let next = start..b.rows.min(start + INNER_BLOCK);
    Ahead::right(b, next.clone(), 0..b.cols.min(group)).and_left(a, next)
}
