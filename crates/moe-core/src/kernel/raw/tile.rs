//! A part of `c` that is held in registers.

use crate::kernel::geometry::STEPS;
use crate::real::Real;

use super::lanes::{Lanes, prefetch_nearest};
use super::prefetch::Ahead;

/// The addresses of a tile's operands.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) inner: usize,
    pub(super) a: *const Real,
    pub(super) a_row: usize,
    pub(super) a_col: usize,
    pub(super) b: *const Real,
    pub(super) b_row: usize,
    /// Where to copy the rows of `b` to in passing, one after the other. Null: nowhere.
    pub(super) copy: *mut Real,
    pub(super) c: *mut Real,
    pub(super) c_row: usize,
    /// The values that the sums begin with. Null: zeros.
    pub(super) start: *const Real,
    /// Distance from a row of `start` to the next. 0 if all rows begin alike, also with zeros.
    pub(super) start_row: usize,
    /// The part of `c` that the next tile writes, its rows `c_row` apart, which is prefetched meanwhile. Null: nothing.
    pub(super) next: *const Real,
}

/// Prefetches factors of later tiles, and a row of `c` that the next tile writes.
#[inline(always)]
fn request<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    t: &Tile,
    row: usize,
    ahead: &mut Ahead,
) {
    ahead.request();
    if row < ROWS && !t.next.is_null() {
        for v in 0..VECTORS {
            prefetch_nearest(t.next.wrapping_add(row * t.c_row + v * L::WIDTH));
        }
    }
}

/// One step of the inner dimension.
///
/// # Safety
/// As [`tile`], for `p` below `inner`; the strides are those of `a` and `b`.
#[inline(always)]
unsafe fn step<L: Lanes, const ROWS: usize, const VECTORS: usize, const COPY: bool>(
    t: &Tile,
    (a_row, a_col, b_row): (usize, usize, usize),
    p: usize,
    sums: &mut [[L::Vector; VECTORS]; ROWS],
) {
    // SAFETY: every address is one that the caller vouches for.
    unsafe {
        let b = t.b.add(p * b_row);
        let mut row = [L::zero(); VECTORS];
        for v in 0..VECTORS {
            row[v] = L::load(b.add(v * L::WIDTH));
            if COPY {
                L::store(t.copy.add((p * VECTORS + v) * L::WIDTH), row[v]);
            }
        }
        for i in 0..ROWS {
            let factor = L::splat(*t.a.add(i * a_row + p * a_col));
            for v in 0..VECTORS {
                sums[i][v] = L::multiply_add(factor, row[v], sums[i][v]);
            }
        }
    }
}

/// A tile of `ROWS` rows and `VECTORS` registers of columns: `c = start + a b`.
///
/// # Safety
/// `a` is valid for reads at `i * a_row + p * a_col` for i below `ROWS` and p below `inner`; `b` for `VECTORS` registers
/// from `p * b_row`; `c` for writes of `VECTORS` registers from `i * c_row`, and overlaps neither; `start` is null or valid for
/// reads of as many from `i * start_row`, and may be `c`. If `COPY`, `copy` is valid for writing `inner * VECTORS` registers
/// and overlaps nothing else. If `PACKED`, the strides of `a` and `b` are those of strips and panels.
#[inline(always)]
pub(super) unsafe fn tile<
    L: Lanes,
    const ROWS: usize,
    const VECTORS: usize,
    const COPY: bool,
    const PACKED: bool,
>(
    t: Tile,
    ahead: &mut Ahead,
) {
    // Constants leave the ports of the processor to the multiply-adds.
    let strides = if PACKED { (1, ROWS, VECTORS * L::WIDTH) } else { (t.a_row, t.a_col, t.b_row) };
    let mut sums = [[L::zero(); VECTORS]; ROWS];
    // SAFETY: every address is one that the caller vouches for.
    unsafe {
        if !t.start.is_null() {
            for i in 0..ROWS {
                for v in 0..VECTORS {
                    sums[i][v] = L::load(t.start.add(i * t.start_row + v * L::WIDTH));
                }
            }
        }
        let whole = t.inner / STEPS;
        for chunk in 0..whole {
            request::<L, ROWS, VECTORS>(&t, chunk, ahead);
            let unrolled = if COPY { 1 } else { L::UNROLLED };
            for few in 0..STEPS / unrolled {
                for p in 0..unrolled {
                    let p = chunk * STEPS + few * unrolled + p;
                    step::<L, ROWS, VECTORS, COPY>(&t, strides, p, &mut sums);
                }
            }
        }
        if whole * STEPS < t.inner {
            request::<L, ROWS, VECTORS>(&t, whole, ahead);
        }
        for p in whole * STEPS..t.inner {
            step::<L, ROWS, VECTORS, COPY>(&t, strides, p, &mut sums);
        }
        for i in 0..ROWS {
            for v in 0..VECTORS {
                L::store(t.c.add(i * t.c_row + v * L::WIDTH), sums[i][v]);
            }
        }
    }
}

/// At most `ROWS` rows of `VECTORS` registers. Fewer rows are computed in smaller tiles.
///
/// # Safety
/// As [`tile`], for `rows` rows; if `copy` is not null there are `ROWS` of them.
#[inline(always)]
pub(super) unsafe fn strip<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    rows: usize,
    t: Tile,
    ahead: &mut Ahead,
) {
    // SAFETY: `done` and the rows of each tile chosen are no more than `rows` together.
    unsafe {
        if rows == ROWS {
            let is_packed = (t.a_row, t.a_col, t.b_row) == (1, ROWS, VECTORS * L::WIDTH);
            return match (t.copy.is_null(), is_packed) {
                (false, _) => tile::<L, ROWS, VECTORS, true, false>(t, ahead),
                (true, false) => tile::<L, ROWS, VECTORS, false, false>(t, ahead),
                (true, true) => tile::<L, ROWS, VECTORS, false, true>(t, ahead),
            };
        }
        let mut done = 0;
        while done < rows {
            let (a, c) = (t.a.add(done * t.a_row), t.c.add(done * t.c_row));
            let at = Tile { a, c, start: t.start.wrapping_add(done * t.start_row), ..t };
            let height = match rows - done {
                5 => 5,
                left => left.min(4),
            };
            match height {
                1 => tile::<L, 1, VECTORS, false, false>(at, ahead),
                2 => tile::<L, 2, VECTORS, false, false>(at, ahead),
                3 => tile::<L, 3, VECTORS, false, false>(at, ahead),
                4 => tile::<L, 4, VECTORS, false, false>(at, ahead),
                _ => tile::<L, 5, VECTORS, false, false>(at, ahead),
            }
            done += height;
        }
    }
}
