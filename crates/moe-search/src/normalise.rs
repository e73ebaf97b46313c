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
    shift_rows(logits, softmax, n);
    map(Exp, softmax);
    scale_rows(softmax, n, sums);
    map(Ln, sums);
    lower_rows(logits, n, sums);
}

/// [`normalise_rows`] for columns. `scratch` has room for 2 N values.
pub(crate) fn normalise_columns(
    logits: &mut [Real],
    softmax: &mut [Real],
    n: usize,
    scratch: &mut [Real],
) {
    let (largest, sums) = scratch.split_at_mut(n);
    shift_columns(logits, softmax, n, largest);
    map(Exp, softmax);
    scale_columns(softmax, n, sums);
    map(Ln, sums);
    lower_columns(logits, n, sums);
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

/// Declares functions whose loops run in the widest registers of the machine.
macro_rules! wide_loops {
    ($($(#[$doc:meta])* $public:vis fn $name:ident<$a:lifetime>($($arg:ident: $type:ty),+ $(,)?) $body:block)+) => {$(
        $(#[$doc])*
        $public fn $name<$a>($($arg: $type),+) {
            struct Run<$a> {
                $($arg: $type),+
            }
            impl Loops for Run<'_> {
                type Output = ();

                #[inline(always)]
                fn run(self) {
                    let Run { $($arg),+ } = self;
                    $body
                }
            }
            wide(Run { $($arg),+ })
        }
    )+};
}

wide_loops! {
    /// Subtracts the largest element of each row, and copies.
    fn shift_rows<'a>(logits: &'a mut [Real], softmax: &'a mut [Real], n: usize) {
        let rows = logits.chunks_exact_mut(n);
        for (logits, softmax) in rows.zip(softmax.chunks_exact_mut(n)) {
            let largest = largest(logits);
            for (logit, s) in logits.iter_mut().zip(softmax) {
                *logit -= largest;
                *s = if *logit < LEAST { LEAST } else { *logit };
            }
        }
    }

    /// Divides each row by its sum.
    fn scale_rows<'a>(softmax: &'a mut [Real], n: usize, sums: &'a mut [Real]) {
        for (softmax, total) in softmax.chunks_exact_mut(n).zip(sums) {
            clear_nothing(softmax);
            *total = sum_in_chains(softmax);
            let share = 1.0 / *total;
            for s in softmax {
                *s *= share;
            }
        }
    }

    /// Subtracts a value from each row.
    fn lower_rows<'a>(logits: &'a mut [Real], n: usize, sums: &'a [Real]) {
        for (logits, log) in logits.chunks_exact_mut(n).zip(sums) {
            for logit in logits {
                *logit -= log;
            }
        }
    }

    /// Subtracts the largest element of each column, and copies.
    fn shift_columns<'a>(
        logits: &'a mut [Real],
        softmax: &'a mut [Real],
        n: usize,
        largest: &'a mut [Real],
    ) {
        largest.fill(Real::NEG_INFINITY);
        for logits in logits.chunks_exact(n) {
            for (most, &logit) in largest.iter_mut().zip(logits) {
                *most = larger(*most, logit);
            }
        }
        let rows = logits.chunks_exact_mut(n);
        for (logits, softmax) in rows.zip(softmax.chunks_exact_mut(n)) {
            for ((logit, s), most) in logits.iter_mut().zip(softmax).zip(largest.iter()) {
                *logit -= most;
                *s = if *logit < LEAST { LEAST } else { *logit };
            }
        }
    }

    /// Divides each column by its sum.
    fn scale_columns<'a>(softmax: &'a mut [Real], n: usize, sums: &'a mut [Real]) {
        sums.fill(0.0);
        for softmax in softmax.chunks_exact_mut(n) {
            clear_nothing(softmax);
            for (sum, s) in sums.iter_mut().zip(softmax) {
                *sum += *s;
            }
        }
        for softmax in softmax.chunks_exact_mut(n) {
            for (s, sum) in softmax.iter_mut().zip(sums.iter()) {
                *s /= sum;
            }
        }
    }

    /// Subtracts a value from each column.
    fn lower_columns<'a>(logits: &'a mut [Real], n: usize, sums: &'a [Real]) {
        for logits in logits.chunks_exact_mut(n) {
            for (logit, log) in logits.iter_mut().zip(sums) {
                *logit -= log;
            }
        }
    }

    /// The backward rule of an iteration: from the gradient with respect to the logits after it to that before it.
    /// `sums` has room for N values.
    pub(crate) fn project<'a>(
        slope: &'a mut [Real],
        rows: &'a [Real],
        columns: &'a [Real],
        n: usize,
        sums: &'a mut [Real],
    ) {
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
