//! The order in which the tiles of a product are computed.

use std::ops::Range;

use crate::Real;

use super::ahead::Ahead;
use super::lanes::Lanes;
use super::pack::{pack_panel, pack_strips};
use super::tile::{Tile, strip};
use super::{FEW_ROWS, INNER_BLOCK, MOST_COLUMNS, MOST_ROWS, PANELS, Product};

/// Up to so many rows asking for the next factors in advance pays: with more, copying them is a small part.
const AHEAD_ROWS: usize = 128;

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

    fn first(&self) -> usize {
        self.panels[0].first
    }

    fn last(&self) -> &Panel {
        &self.panels[self.count - 1]
    }
}

/// Computes a product with tiles of `ROWS` rows and `VECTORS` registers, of blocks of the inner dimension, groups of panels
/// and strips of rows, from the outermost loop to the innermost.
///
/// # Safety
/// The instruction set of `L` is enabled in the caller; the shapes of the product and `c` have been checked against each
/// other.
#[inline(always)]
pub(super) unsafe fn panels<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    product: Product<'_>,
    c: &mut [Real],
    scratch: &mut [Real],
) {
    let Product { a, b, .. } = product;
    let (rows, inner, cols) = (a.rows, a.cols, b.cols);
    let (packed, rest) = scratch.split_at_mut(PANELS * INNER_BLOCK * MOST_COLUMNS);
    let (narrow, strips) = rest.split_at_mut(MOST_ROWS * MOST_COLUMNS);
    let copies = rows >= FEW_ROWS;
    let in_strips = copies && cols > VECTORS * L::WIDTH;
    let stream = product.stream && inner <= INNER_BLOCK && can_stream::<L>(c, cols);
    for start in (0..inner).step_by(INNER_BLOCK) {
        let block = start..inner.min(start + INNER_BLOCK);
        let accumulate = product.accumulate || start > 0;
        if in_strips {
            // SAFETY: as for this function.
            unsafe { pack_strips::<L, ROWS>(a, block.clone(), strips) };
        }
        let mut first = 0;
        while first < cols {
            let group = Group::new::<L, VECTORS>(first, cols);
            let last = *group.last();
            first = last.end();
            let width = last.width::<L>();
            let is_narrow = last.cols < width;
            // If tiles can read `b` where it stands, those of the first strip copy it in passing.
            let in_place = b.col_stride == 1 && !is_narrow;
            if !in_place {
                for panel in group.panels() {
                    let (cols, width) = (panel.first..panel.end(), panel.width::<L>());
                    let to = &mut packed[(panel.first - group.first()) * block.len()..];
                    // SAFETY: as for this function.
                    unsafe { pack_panel::<L>(b, block.clone(), cols, width, to) };
                }
            }
            if is_narrow && accumulate {
                for (row, c) in narrow.chunks_exact_mut(width).zip(c.chunks_exact(cols)) {
                    row[..last.cols].copy_from_slice(&c[last.first..last.end()]);
                }
            }
            let mut ahead = match copies && rows <= AHEAD_ROWS {
                true => what_follows::<L, VECTORS>(&product, &block, last.end()),
                false => Ahead::NOTHING,
            };
            let (copies_of_b, spare, out) =
                (packed.as_mut_ptr(), narrow.as_mut_ptr(), c.as_mut_ptr());
            for row in (0..rows).step_by(ROWS) {
                let height = ROWS.min(rows - row);
                for panel in group.panels() {
                    // SAFETY: `a` is either read in place, where it has `rows` rows and at least `block.end` columns
                    // (checked), or from the strips, of which there are as many as `rows` need, `ROWS * block.len()`
                    // numbers each. `b` is either read in place, where the rows of the block have `width` contiguous
                    // columns from the panel's first, or from `packed`, which holds `PANELS` times `block.len() * width`
                    // numbers; what is copied there in passing is copied by the first strip, which has `ROWS` rows as
                    // there are many. `c` holds `rows * cols` numbers and the panel's columns lie inside; `narrow` holds
                    // MOST_ROWS * MOST_COLUMNS, and there are at most MOST_ROWS rows.
                    unsafe {
                        let (a, a_row, a_col) = match in_strips {
                            true => (strips.as_ptr().add(row * block.len()), 1, ROWS),
                            false => {
                                let from = row * a.row_stride + block.start * a.col_stride;
                                (a.data.as_ptr().add(from), a.row_stride, a.col_stride)
                            }
                        };
                        let width = panel.width::<L>();
                        let copied = copies_of_b.add((panel.first - group.first()) * block.len());
                        let (b, b_row, copy) = match in_place && (row == 0 || !copies) {
                            true => {
                                let from = block.start * b.row_stride + panel.first;
                                let copy = if copies { copied } else { std::ptr::null_mut() };
                                (b.data.as_ptr().add(from), b.row_stride, copy)
                            }
                            false => (copied.cast_const(), width, std::ptr::null_mut()),
                        };
                        let (c, c_row) = match panel.cols == width {
                            true => (out.add(row * cols + panel.first), cols),
                            false => (spare.add(row * width), width),
                        };
                        let inner = block.len();
                        let at = Tile {
                            inner,
                            a,
                            a_row,
                            a_col,
                            b,
                            b_row,
                            copy,
                            c,
                            c_row,
                            accumulate,
                            stream,
                        };
                        match panel.vectors {
                            1 => strip::<L, ROWS, 1>(height, at, &mut ahead),
                            2 => strip::<L, ROWS, 2>(height, at, &mut ahead),
                            _ => strip::<L, ROWS, VECTORS>(height, at, &mut ahead),
                        }
                    }
                }
            }
            if is_narrow {
                for (row, c) in narrow.chunks_exact(width).zip(c.chunks_exact_mut(cols)) {
                    c[last.first..last.end()].copy_from_slice(&row[..last.cols]);
                }
            }
        }
    }
    if stream {
        L::end_stream();
    }
}

/// Whether every register of the rows of `c` is aligned and whole.
fn can_stream<L: Lanes>(c: &[Real], cols: usize) -> bool {
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
