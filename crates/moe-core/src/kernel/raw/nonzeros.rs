//! The non-zeros of a matrix.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::kernel::geometry::{LEAST_LIST, LINE, ROWS_AHEAD, SQUARE};
use crate::kernel::mat::Mat;
use crate::real::Real;

use super::lanes::{Lanes, prefetch_nearest};

/// The non-zeros and their positions in their block, as a list for each row of each block of the inner dimension.
pub(super) struct Nonzeros {
    values: Buffer<Real>,
    places: Buffer<u32>,
    counts: Vec<u32>,
    rows: usize,
    /// Numbers that a list has room for.
    room: usize,
}

impl Nonzeros {
    /// Empty lists with room for `size` numbers, [`LEAST_LIST`] or more a list on average.
    pub(super) fn with_room(size: usize) -> Self {
        Nonzeros {
            values: Buffer::unspecified(size),
            places: Buffer::unspecified(size),
            counts: Vec::with_capacity(size / LEAST_LIST),
            rows: 0,
            room: 0,
        }
    }

    /// Lists the non-zeros of some rows of `a`, whose columns `inner` are cut into blocks of `block`.
    ///
    /// # Safety
    /// The instruction set of `L` is enabled in the caller.
    ///
    /// # Panics
    /// If neither the rows nor the columns of `a` are contiguous, or there is no room.
    #[inline(always)]
    pub(super) unsafe fn find<L: Lanes>(
        &mut self,
        a: Mat<'_>,
        rows: Range<usize>,
        inner: Range<usize>,
        block: usize,
    ) {
        assert!(a.col_stride == 1 || a.row_stride == 1, "{a:?} with gaps in rows and columns");
        (self.rows, self.room) = (rows.len(), block.next_multiple_of(SQUARE));
        let lists = inner.len().div_ceil(block) * self.rows;
        self.counts.clear();
        self.counts.resize(lists, 0);
        assert!(lists * self.room <= self.values.len(), "no room for {lists} lists");
        for (i, start) in inner.clone().step_by(block).enumerate() {
            let cols = start..inner.end.min(start + block);
            let first = i * self.rows;
            // SAFETY: as for this function; there is a list for each row of each block.
            unsafe {
                if a.col_stride == 1 {
                    self.along_rows::<L>(a, rows.clone(), cols, first);
                } else {
                    self.across_rows::<L>(a, rows.clone(), cols, first);
                }
            }
        }
    }

    /// # Safety
    /// As [`Self::find`]; there are lists from `first` on, one for each row, with room for the columns.
    #[inline(always)]
    unsafe fn along_rows<L: Lanes>(
        &mut self,
        a: Mat<'_>,
        rows: Range<usize>,
        cols: Range<usize>,
        first: usize,
    ) {
        for (list, row) in rows.enumerate() {
            let from = &a.data[row * a.row_stride + cols.start..][..cols.len()];
            let soon = from.as_ptr().wrapping_add(ROWS_AHEAD * a.row_stride);
            (0..cols.len()).step_by(LINE).for_each(|at| prefetch_nearest(soon.wrapping_add(at)));
            let (whole, rest) = from.as_chunks::<SQUARE>();
            let mut last = [0.0; SQUARE];
            last[..rest.len()].copy_from_slice(rest);
            for (i, eight) in whole.iter().chain((!rest.is_empty()).then_some(&last)).enumerate() {
                // SAFETY: as for this function.
                unsafe { self.append::<L>(first + list, i * SQUARE, eight) };
            }
        }
    }

    /// Eight rows and columns at a time, as the columns are contiguous.
    ///
    /// # Safety
    /// As [`Self::along_rows`].
    #[inline(always)]
    unsafe fn across_rows<L: Lanes>(
        &mut self,
        a: Mat<'_>,
        rows: Range<usize>,
        cols: Range<usize>,
        first: usize,
    ) {
        for col in (0..cols.len()).step_by(SQUARE) {
            let width = SQUARE.min(cols.len() - col);
            for row in (0..rows.len()).step_by(SQUARE) {
                let height = SQUARE.min(rows.len() - row);
                let from = &a.data[(cols.start + col) * a.col_stride + rows.start + row..];
                let from = &from[..(width - 1) * a.col_stride + height];
                let mut square = [[0.0; SQUARE]; SQUARE];
                if width == SQUARE && height == SQUARE {
                    let to = square.as_flattened_mut().as_mut_ptr();
                    // SAFETY: `from` reaches to the end of its last of `SQUARE` columns; the caller vouches for the instruction
                    // set.
                    unsafe { L::transpose(from.as_ptr(), a.col_stride, to, SQUARE) };
                } else {
                    for (i, row) in square[..height].iter_mut().enumerate() {
                        for (j, value) in row[..width].iter_mut().enumerate() {
                            *value = from[j * a.col_stride + i];
                        }
                    }
                }
                for (i, eight) in square[..height].iter().enumerate() {
                    // SAFETY: as for this function.
                    unsafe { self.append::<L>(first + row + i, col, eight) };
                }
            }
        }
    }

    /// Appends the non-zeros among eight numbers of a row, the first of which is number `place` of its block.
    ///
    /// # Safety
    /// The instruction set of `L` is enabled in the caller; the list exists, has room for `place + SQUARE` numbers, and holds
    /// numbers from before `place` only.
    #[inline(always)]
    unsafe fn append<L: Lanes>(&mut self, list: usize, place: usize, eight: &[Real; SQUARE]) {
        // SAFETY: the list has at most `place` numbers, so that there is room for eight more.
        unsafe {
            let count = self.counts.get_unchecked_mut(list);
            let end = list * self.room + *count as usize;
            let (values, places) = (self.values.as_mut_ptr(), self.places.as_mut_ptr());
            let at = (values.add(end), places.add(end));
            *count += L::compress(eight.as_ptr(), place as u32, at.0, at.1);
        }
    }

    /// The non-zeros of a row in a block, and their positions in the block.
    #[inline(always)]
    pub(super) fn of(&self, block: usize, row: usize) -> (&[Real], &[u32]) {
        let list = block * self.rows + row;
        let (start, count) = (list * self.room, self.counts[list] as usize);
        (&self.values[start..][..count], &self.places[start..][..count])
    }
}
