//! Factors that are asked for while others are multiplied, so that they are in a cache when they are copied.

use std::ops::Range;

use crate::Real;

use super::super::mat::Mat;
use super::lanes::prefetch;

/// Numbers of a line of the caches.
const LINE: usize = 64 / size_of::<Real>();

/// Lines of a request; what a region has beyond is left to the machine.
const MOST_LINES: usize = 16;

/// Part of a matrix, as it lies in memory.
#[derive(Clone, Copy)]
struct Region {
    at: *const Real,
    stride: usize,
    lines: usize,
    /// Runs of lines that are left.
    runs: usize,
}

impl Region {
    const NOTHING: Region = Region { at: std::ptr::null(), stride: 0, lines: 0, runs: 0 };

    fn of(m: Mat<'_>, rows: Range<usize>, cols: Range<usize>) -> Self {
        let first = rows.start * m.row_stride + cols.start * m.col_stride;
        let at = m.data.as_ptr().wrapping_add(first);
        let (run, runs, stride) = match m.col_stride {
            1 => (cols.len(), rows.len(), m.row_stride),
            _ => (rows.len(), cols.len(), m.col_stride),
        };
        Region { at, stride, lines: run.div_ceil(LINE).min(MOST_LINES), runs }
    }
}

/// What is asked for, a run of lines at a time.
pub(super) struct Ahead {
    now: Region,
    then: Region,
}

impl Ahead {
    pub(super) const NOTHING: Ahead = Ahead { now: Region::NOTHING, then: Region::NOTHING };

    /// Some columns of some rows of `b`.
    pub(super) fn right(b: Mat<'_>, rows: Range<usize>, cols: Range<usize>) -> Self {
        Ahead { now: Region::of(b, rows, cols), then: Region::NOTHING }
    }

    /// The columns `inner` of `a`, after what has been asked for of `b`.
    pub(super) fn and_left(self, a: Mat<'_>, inner: Range<usize>) -> Self {
        Ahead { then: Region::of(a, 0..a.rows, inner), ..self }
    }

    /// Asks for the next run.
    #[inline(always)]
    pub(super) fn request(&mut self) {
        let region = &mut self.now;
        if region.runs > 0 {
            for line in 0..region.lines {
                prefetch(region.at.wrapping_add(line * LINE));
            }
            region.at = region.at.wrapping_add(region.stride);
            region.runs -= 1;
            if region.runs == 0 {
                self.now = std::mem::replace(&mut self.then, Region::NOTHING);
            }
        }
    }
}
