//! The order in which the tiles of a product are computed.

use std::ops::Range;

use crate::real::Real;

use super::super::mat::Mat;
use super::ahead::Ahead;
use super::lanes::{Lanes, end_stream};
use super::pack::{pack_panel, pack_strips};
use super::row::wide_columns;
use super::tile::{STEPS, Tile, strip};
use super::{FEW_STRIPS, INNER_BLOCK, MOST_COLUMNS, MOST_ROWS, PANELS, Product, Start};

/// Some columns of `b` and `c`, as many as registers of a tile hold; the last ones may be fewer.
#[derive(Clone, Copy)]
struct Panel {
    first: usize,
    cols: usize,
    vectors: usize,
}

impl Panel {
    /// The panel from column `first` on. The last one is as narrow as its columns allow, but for one register they are
    /// shared between two.
    #[inline(always)]
    fn new<L: Lanes, const VECTORS: usize>(first: usize, cols: usize) -> Self {
        let vectors = match (cols - first).div_ceil(L::WIDTH) {
            left if left == VECTORS + 1 => left.div_ceil(2),
            left => left.min(VECTORS),
        };
        Panel { first, cols: (vectors * L::WIDTH).min(cols - first), vectors }
    }

    fn end(&self) -> usize {
        self.first + self.cols
    }

    fn width<L: Lanes>(&self) -> usize {
        self.vectors * L::WIDTH
    }
}

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

    fn last(&self) -> &Panel {
        &self.panels[self.count - 1]
    }
}

/// Where the numbers of a block of the inner dimension and a group of panels are.
struct Place<'p> {
    product: Product<'p>,
    block: Range<usize>,
    /// First column of the group, and the one after its last.
    first: usize,
    end: usize,
    sums: Start<'p>,
    /// Strips of `a`, if it has been copied.
    strips: Option<*const Real>,
    /// Whether tiles can read `b` where it stands.
    in_place: bool,
    /// Whether it is to be copied.
    copies: bool,
    packed: *mut Real,
    /// In the place of columns of `c`, where a panel has more.
    narrow: *mut Real,
    c: *mut Real,
    stream: bool,
}

impl Place<'_> {
    /// The operands of a panel from a row on that begins a strip of `ROWS` rows.
    ///
    /// # Safety
    /// The row, the columns of the panel and the block lie inside `a`, `b` and `c`, whose sizes have been checked, and what
    /// has been copied lies where it belongs.
    #[inline(always)]
    unsafe fn tile<L: Lanes, const ROWS: usize>(&self, panel: &Panel, row: usize) -> Tile {
        let Product { a, b, .. } = self.product;
        let (inner, width) = (self.block.len(), panel.width::<L>());
        // SAFETY: the caller vouches for the numbers. Strips are `ROWS * inner` numbers each. Tiles read `b` in place only if
        // its rows have `width` contiguous columns from the panel's first. `packed` holds PANELS panels of at most INNER_BLOCK
        // rows; what is copied there in passing is copied by the first strip, which has `ROWS` rows as there are many. If `b`
        // has been copied long before, it begins with the group's panels, whose columns fill registers. `narrow` holds
        // MOST_ROWS * MOST_COLUMNS numbers, and there are at most MOST_ROWS rows. A `Start::Row` is as long as a row of `c`.
        unsafe {
            let (a, a_row, a_col) = match self.strips {
                Some(strips) => (strips.add(row * inner), 1, ROWS),
                None => {
                    let from = row * a.row_stride + self.block.start * a.col_stride;
                    (a.data.as_ptr().add(from), a.row_stride, a.col_stride)
                }
            };
            let copied = self.packed.add((panel.first - self.first) * inner);
            let (b, b_row, copy) = if self.in_place && (row == 0 || !self.copies) {
                let from = self.block.start * b.row_stride + panel.first;
                let copy = if self.copies { copied } else { std::ptr::null_mut() };
                (b.data.as_ptr().add(from), b.row_stride, copy)
            } else {
                (copied.cast_const(), width, std::ptr::null_mut())
            };
            let cols = self.product.b.cols;
            let is_narrow = panel.cols < width;
            let (c, c_row) = match is_narrow {
                true => (self.narrow.add(row * width), width),
                false => (self.c.add(row * cols + panel.first), cols),
            };
            let (start, start_row) = match self.sums {
                Start::Zero => (std::ptr::null(), 0),
                Start::Row(sums) if !is_narrow => (sums.as_ptr().add(panel.first), 0),
                Start::Present | Start::Row(_) => (c.cast_const(), c_row),
            };
            // The columns to the right, or the first ones of the next strip.
            let next = match panel.end() < self.end {
                _ if self.stream || is_narrow => std::ptr::null(),
                true => c.wrapping_add(panel.cols).cast_const(),
                false => self.c.wrapping_add((row + ROWS) * cols + self.first).cast_const(),
            };
            let stream = self.stream;
            Tile {
                inner,
                a,
                a_row,
                a_col,
                b,
                b_row,
                copy,
                c,
                c_row,
                start,
                start_row,
                next,
                stream,
            }
        }
    }
}

/// Computes a product with tiles of `ROWS` rows and `VECTORS` registers, of blocks of the inner dimension, groups of panels
/// and strips of rows, from the outermost loop to the innermost; of a single row, with tiles of `WIDE` registers first.
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
    let (rows, inner, cols) = (a.rows, a.cols, b.cols);
    let (packed, rest) = scratch.split_at_mut(PANELS * INNER_BLOCK * MOST_COLUMNS);
    let (narrow, strips) = rest.split_at_mut(MOST_ROWS * MOST_COLUMNS);
    // SAFETY: as for this function.
    let in_wide_tiles = unsafe { wide_columns::<L, WIDE>(&product, c) };
    let copies = rows >= FEW_STRIPS * ROWS;
    // What tiles read along its rows is copied only for more than one group.
    let group = PANELS * VECTORS * L::WIDTH;
    let in_strips = copies && cols > if a.col_stride == 1 { group } else { VECTORS * L::WIDTH };
    // Which columns of a single row are left is not what panels are cut by.
    let panels_of_b = b.packed.filter(|_| in_wide_tiles == 0).map(|packed| packed.numbers);
    let stream = product.stream && inner <= INNER_BLOCK && can_stream::<L>(c, cols);
    for start in (0..inner).step_by(INNER_BLOCK) {
        let block = start..inner.min(start + INNER_BLOCK);
        let sums = if start > 0 { Start::Present } else { product.start };
        let after = product.after.filter(|_| block.end == inner);
        if in_strips {
            // SAFETY: as for this function.
            unsafe { pack_strips::<L, ROWS>(a, block.clone(), strips) };
        }
        let mut first = in_wide_tiles;
        while first < cols {
            let group = Group::new::<L, VECTORS>(first, cols);
            let last = group.last();
            let of_group = first..last.end();
            let width = last.width::<L>();
            let is_narrow = last.cols < width;
            let in_place = b.col_stride == 1 && !is_narrow && panels_of_b.is_none();
            if !in_place && panels_of_b.is_none() {
                for panel in group.panels() {
                    let to = &mut packed[(panel.first - first) * block.len()..];
                    let (cols, width) = (panel.first..panel.end(), panel.width::<L>());
                    // SAFETY: as for this function.
                    unsafe { pack_panel::<L>(b, block.clone(), cols, width, to) };
                }
            }
            if is_narrow {
                for (row, c) in narrow.chunks_exact_mut(width).zip(c.chunks_exact(cols)) {
                    let from = match sums {
                        Start::Zero => break,
                        Start::Present => c,
                        Start::Row(row) => row,
                    };
                    row[..last.cols].copy_from_slice(&from[last.first..last.end()]);
                }
            }
            let tiles = rows.div_ceil(ROWS) * group.count;
            let mut ahead = what_follows::<L, VECTORS>(&product, &block, last.end())
                .in_requests(tiles * block.len() / STEPS);
            let place = Place {
                product,
                block: block.clone(),
                first,
                end: last.end(),
                sums,
                strips: in_strips.then_some(strips.as_ptr()),
                in_place,
                copies,
                packed: match panels_of_b {
                    // Not in place, so that nothing is copied there.
                    Some(all) => all[panel_start(&b, &block, first)..].as_ptr().cast_mut(),
                    None => packed.as_mut_ptr(),
                },
                narrow: narrow.as_mut_ptr(),
                c: c.as_mut_ptr(),
                stream,
            };
            for row in (0..rows).step_by(ROWS) {
                let height = ROWS.min(rows - row);
                for panel in group.panels() {
                    // SAFETY: `row` is below `rows`, the panel's columns are below `cols`, and the block was made for `inner`;
                    // what is not read in place has just been copied.
                    unsafe {
                        let at = place.tile::<L, ROWS>(panel, row);
                        match panel.vectors {
                            1 => strip::<L, ROWS, 1>(height, at, &mut ahead),
                            2 => strip::<L, ROWS, 2>(height, at, &mut ahead),
                            _ => strip::<L, ROWS, VECTORS>(height, at, &mut ahead),
                        }
                    }
                }
                if let (Some(after), false) = (after, is_narrow) {
                    for row in row..row + height {
                        // SAFETY: a row of `c` has these columns, and nothing else refers to them now.
                        let done = unsafe {
                            let from = place.c.add(row * cols + first);
                            std::slice::from_raw_parts_mut(from, of_group.len())
                        };
                        after(row, first, done);
                    }
                }
            }
            if is_narrow {
                for (i, (row, c)) in
                    narrow.chunks_exact(width).zip(c.chunks_exact_mut(cols)).enumerate()
                {
                    c[last.first..last.end()].copy_from_slice(&row[..last.cols]);
                    if let Some(after) = after {
                        after(i, first, &mut c[of_group.clone()]);
                    }
                }
            }
            first = of_group.end;
        }
    }
    if stream {
        end_stream();
    }
}

/// Where the panels from column `first` on of a block of the inner dimension begin, where all of `b` has been copied.
#[inline(always)]
pub(super) fn panel_start(b: &Mat<'_>, block: &Range<usize>, first: usize) -> usize {
    block.start * b.cols + first * block.len()
}

/// Copies a row-major `b` as panels, all of a block of the inner dimension before the next block. Whether its columns fill
/// registers: nothing is copied if not.
///
/// # Panics
/// If `to` has another length.
pub(super) fn panels_of<L: Lanes, const VECTORS: usize>(b: Mat<'_>, to: &mut [Real]) -> bool {
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

/// Whether every register of the rows of `c` is aligned and whole.
pub(super) fn can_stream<L: Lanes>(c: &[Real], cols: usize) -> bool {
    cols.is_multiple_of(L::WIDTH) && c.as_ptr().addr().is_multiple_of(L::WIDTH * size_of::<Real>())
}

/// What is copied after the columns before `end` of a block of `b`: the next columns, the next block, or factors of the
/// product after this one.
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
