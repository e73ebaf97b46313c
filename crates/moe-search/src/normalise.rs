//! The loops of the Sinkhorn operator over one square matrix, for the widest registers of the machine. The order of
//! sums depends only on N.

use moe_core::Real;
use moe_core::kernel::vector_math::{Exp, Ln, map};
use moe_core::kernel::{Loops, sum_in_chains, wide};

/// Number of elements of a row that are summed in parallel.
const LANES: usize = 16;

/// Whether this build uses double precision.
const DOUBLE: bool = size_of::<Real>() == 8;

/// An element this far below the largest of its row or column has a softmax of zero: denormal numbers are a hundred
/// times as expensive, and at low temperatures most elements would be denormal.
const LEAST: Real = if DOUBLE { -690.0 } else { -80.0 };

/// Slightly above e^LEAST.
const NOTHING: Real = if DOUBLE { 1e-299 } else { 2e-35 };

/// Subtracts the logsumexp of each row and writes its softmax. `sums` has room for N values.
pub(crate) fn normalise_rows(
    logits: &mut [Real],
    softmax: &mut [Real],
    n: usize,
    sums: &mut [Real],
) {
    wide(ShiftRows { logits, softmax, n });
    map(Exp, softmax);
    wide(ScaleRows { softmax, n, sums });
    map(Ln, sums);
    wide(LowerRows { logits, n, sums });
}

/// [`normalise_rows`] for columns. `scratch` has room for 2 N values.
pub(crate) fn normalise_columns(
    logits: &mut [Real],
    softmax: &mut [Real],
    n: usize,
    scratch: &mut [Real],
) {
    let (largest, sums) = scratch.split_at_mut(n);
    wide(ShiftColumns { logits, softmax, n, largest });
    map(Exp, softmax);
    wide(ScaleColumns { softmax, n, sums });
    map(Ln, sums);
    wide(LowerColumns { logits, n, sums });
}

/// The backward rule of an iteration: from the gradient with respect to the logits after it to that before it. `sums`
/// has room for N values.
pub(crate) fn project(
    slope: &mut [Real],
    rows: &[Real],
    columns: &[Real],
    n: usize,
    sums: &mut [Real],
) {
    wide(Project { slope, rows, columns, n, sums });
}

/// Replaces negligible values by exact zeros.
#[inline(always)]
fn clear_nothing(softmax: &mut [Real]) {
    for s in softmax {
        *s = if *s < NOTHING { 0.0 } else { *s };
    }
}

#[inline(always)]
fn larger(a: Real, b: Real) -> Real {
    if b > a { b } else { a }
}

/// The largest element of a row. NaNs are ignored here, and show in the sum.
#[inline(always)]
fn largest(row: &[Real]) -> Real {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut most = [Real::NEG_INFINITY; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            most[lane] = larger(most[lane], chunk[lane]);
        }
    }
    for (most, &v) in most.iter_mut().zip(rest) {
        *most = larger(*most, v);
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            most[lane] = larger(most[lane], most[lane + width]);
        }
    }
    most[0]
}

/// Subtracts the largest element of each row, and copies.
struct ShiftRows<'a> {
    logits: &'a mut [Real],
    softmax: &'a mut [Real],
    n: usize,
}

impl Loops for ShiftRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let rows = self.logits.chunks_exact_mut(self.n);
        for (logits, softmax) in rows.zip(self.softmax.chunks_exact_mut(self.n)) {
            let largest = largest(logits);
            for (logit, s) in logits.iter_mut().zip(softmax) {
                *logit -= largest;
                *s = if *logit < LEAST { LEAST } else { *logit };
            }
        }
    }
}

/// Divides each row by its sum.
struct ScaleRows<'a> {
    softmax: &'a mut [Real],
    n: usize,
    sums: &'a mut [Real],
}

impl Loops for ScaleRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (softmax, total) in self.softmax.chunks_exact_mut(self.n).zip(self.sums) {
            clear_nothing(softmax);
            *total = sum_in_chains(softmax);
            let share = 1.0 / *total;
            for s in softmax {
                *s *= share;
            }
        }
    }
}

/// Subtracts a value from each row.
struct LowerRows<'a> {
    logits: &'a mut [Real],
    n: usize,
    sums: &'a [Real],
}

impl Loops for LowerRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (logits, log) in self.logits.chunks_exact_mut(self.n).zip(self.sums) {
            for logit in logits {
                *logit -= log;
            }
        }
    }
}

/// Subtracts the largest element of each column, and copies.
struct ShiftColumns<'a> {
    logits: &'a mut [Real],
    softmax: &'a mut [Real],
    n: usize,
    largest: &'a mut [Real],
}

impl Loops for ShiftColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.largest.fill(Real::NEG_INFINITY);
        for logits in self.logits.chunks_exact(self.n) {
            for (most, &logit) in self.largest.iter_mut().zip(logits) {
                *most = larger(*most, logit);
            }
        }
        let rows = self.logits.chunks_exact_mut(self.n);
        for (logits, softmax) in rows.zip(self.softmax.chunks_exact_mut(self.n)) {
            for ((logit, s), most) in logits.iter_mut().zip(softmax).zip(self.largest.iter()) {
                *logit -= most;
                *s = if *logit < LEAST { LEAST } else { *logit };
            }
        }
    }
}

/// Divides each column by its sum.
struct ScaleColumns<'a> {
    softmax: &'a mut [Real],
    n: usize,
    sums: &'a mut [Real],
}

impl Loops for ScaleColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.sums.fill(0.0);
        for softmax in self.softmax.chunks_exact_mut(self.n) {
            clear_nothing(softmax);
            for (sum, s) in self.sums.iter_mut().zip(softmax) {
                *sum += *s;
            }
        }
        for softmax in self.softmax.chunks_exact_mut(self.n) {
            for (s, sum) in softmax.iter_mut().zip(self.sums.iter()) {
                *s /= sum;
            }
        }
    }
}

/// Subtracts a value from each column.
struct LowerColumns<'a> {
    logits: &'a mut [Real],
    n: usize,
    sums: &'a [Real],
}

impl Loops for LowerColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for logits in self.logits.chunks_exact_mut(self.n) {
            for (logit, log) in logits.iter_mut().zip(self.sums) {
                *logit -= log;
            }
        }
    }
}

struct Project<'a> {
    slope: &'a mut [Real],
    rows: &'a [Real],
    columns: &'a [Real],
    n: usize,
    sums: &'a mut [Real],
}

impl Loops for Project<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Project { slope, rows, columns, n, sums } = self;
        sums.fill(0.0);
        for slope in slope.chunks_exact(n) {
            for (sum, d) in sums.iter_mut().zip(slope) {
                *sum += d;
            }
        }
        let softmaxes = columns.chunks_exact(n).zip(rows.chunks_exact(n));
        for (slope, (column, row)) in slope.chunks_exact_mut(n).zip(softmaxes) {
            for ((d, s), sum) in slope.iter_mut().zip(column).zip(sums.iter()) {
                *d -= s * sum;
            }
            let total = sum_in_chains(slope);
            for (d, s) in slope.iter_mut().zip(row) {
                *d -= s * total;
            }
        }
    }
}
