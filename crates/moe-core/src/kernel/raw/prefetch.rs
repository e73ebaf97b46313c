//! Factors that are requested while others are multiplied, so that they are in a cache when they are copied.

use std::ops::Range;

use crate::kernel::geometry::{LINE, MOST_LINES};
use crate::kernel::mat::Mat;
use crate::real::Real;

use super::lanes::prefetch;
use super::pack::panel_start;

/// Part of a matrix as it lies in memory: runs of cache lines.
#[derive(Clone, Copy)]
struct Region {
    /// The next run.
    at: *const Real,
    stride: usize,
    /// Lines of a run.
    lines: usize,
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
        let lines = run.div_ceil(LINE);
        Region { at, stride, lines, runs: if lines > 0 { runs } else { 0 } }
    }
}

/// The lines to request, a few at a time.
pub(super) struct Ahead {
    /// The next line of the present run.
    line: *const Real,
    /// Lines that this run has left.
    lines: usize,
    now: Region,
    then: Region,
    /// Lines of a request.
    pace: usize,
}

impl Ahead {
    pub(super) const NOTHING: Ahead = Ahead {
        line: std::ptr::null(),
        lines: 0,
        now: Region::NOTHING,
        then: Region::NOTHING,
        pace: 0,
    };

    /// Some columns of a block of rows of `b`.
    pub(super) fn right(b: Mat<'_>, rows: Range<usize>, cols: Range<usize>) -> Self {
        let now = match b.packed {
            None => Region::of(b, rows, cols),
            Some(packed) => {
                let first = panel_start(&b, &rows, cols.start);
                let run = &packed.values[first..][..rows.len() * cols.len()];
                Region::of(Mat::new(run, 1, run.len()), 0..1, 0..run.len())
            }
        };
        Ahead { now, ..Ahead::NOTHING }
    }

    /// Adds the columns `inner` of `a`, to be requested after the part of `b`.
    pub(super) fn and_left(self, a: Mat<'_>, inner: Range<usize>) -> Self {
        Ahead { then: Region::of(a, 0..a.rows, inner), ..self }
    }

    /// Spreads all lines over `requests` requests, as far as [`MOST_LINES`] allows.
    pub(super) fn in_requests(self, requests: usize) -> Self {
        let lines = |region: &Region| region.runs * region.lines;
        let pace = (lines(&self.now) + lines(&self.then)).div_ceil(requests.max(1));
        Ahead { pace: pace.min(MOST_LINES), ..self }
    }

    /// Requests the next lines.
    #[inline(always)]
    pub(super) fn request(&mut self) {
        for _ in 0..self.pace {
            if self.lines == 0 {
                if self.now.runs == 0 {
                    self.now = std::mem::replace(&mut self.then, Region::NOTHING);
                    if self.now.runs == 0 {
                        self.pace = 0;
                        return;
                    }
                }
                (self.line, self.lines) = (self.now.at, self.now.lines);
                self.now.at = self.now.at.wrapping_add(self.now.stride);
                self.now.runs -= 1;
            }
            prefetch(self.line);
            self.line = self.line.wrapping_add(LINE);
            self.lines -= 1;
        }
    }
}
