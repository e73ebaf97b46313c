//! Sums and maxima. The order of a sum depends on the number of terms alone.

use std::ops::Range;

use crate::real::Real;

use super::geometry::ROW_BLOCK;
use super::parallel::{for_pieces, is_worthwhile};
use super::raw::wide::{Loops, wide};
use super::rows::add;

/// Elements that are added up in chains. Longer ranges are halved.
const LEAF: usize = 128;

/// Chains of a leaf.
const LANES: usize = 16;

/// Rows that are added up in chains when columns are summed.
const ROW_LEAF: usize = 32;

/// Columns that are summed together: several adjacent cache lines.
const RUN: usize = 256;

/// The cut of a range that is too long for a leaf. It depends on the length of the range alone.
fn middle(range: &Range<usize>) -> usize {
    range.start + range.len().next_power_of_two() / 2
}

/// The sum of leaves in the order of a binary tree, in parallel where that is worth it.
fn tree(range: Range<usize>, leaf: &(impl Fn(Range<usize>) -> Real + Sync)) -> Real {
    if range.len() <= LEAF {
        return leaf(range);
    }
    let middle = middle(&range);
    let (left, right) = (range.start..middle, middle..range.end);
    let (a, b) = if is_worthwhile(range.len()) {
        rayon::join(|| tree(left, leaf), || tree(right, leaf))
    } else {
        (tree(left, leaf), tree(right, leaf))
    };
    a + b
}

/// Adds up chains in pairs.
#[inline(always)]
fn fold(mut sums: [Real; LANES]) -> Real {
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
    }
    sums[0]
}

/// The sum of all values, 0 if there are none.
///
/// Blocks of 128 values are added up in 16 chains, and the blocks as a binary tree. The error is at most
/// (14 + log2(n / 128)) u times the sum of magnitudes, u half of [`Real::EPSILON`], to first order. The order depends on
/// the number of values alone.
pub fn sum(values: &[Real]) -> Real {
    tree(0..values.len(), &|range| sum_in_chains(&values[range]))
}

/// The sum of a few values in 16 chains, which are added up in pairs: a leaf of [`sum`]. It is inlined, so that loops in
/// [`wide`] may call it.
#[inline(always)]
pub fn sum_in_chains(values: &[Real]) -> Real {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += chunk[lane];
        }
    }
    sums.iter_mut().zip(rest).for_each(|(sum, v)| *sum += v);
    fold(sums)
}

/// The sum of products, in the order of [`sum`].
///
/// # Panics
/// If the lengths differ.
pub fn dot(a: &[Real], b: &[Real]) -> Real {
    assert_eq!(a.len(), b.len(), "dot: lengths differ");
    tree(0..a.len(), &|range| wide(Products { a: &a[range.clone()], b: &b[range] }))
}

/// A leaf of [`dot`].
struct Products<'a> {
    a: &'a [Real],
    b: &'a [Real],
}

impl Loops for Products<'_> {
    type Output = Real;

    #[inline(always)]
    fn run(self) -> Real {
        let (a_chunks, a_rest) = self.a.as_chunks::<LANES>();
        let (b_chunks, b_rest) = self.b.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for (a, b) in a_chunks.iter().zip(b_chunks) {
            for lane in 0..LANES {
                sums[lane] += a[lane] * b[lane];
            }
        }
        for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
            *sum += a * b;
        }
        fold(sums)
    }
}

/// The larger of two values. NaN wins.
#[inline(always)]
fn larger(a: Real, b: Real) -> Real {
    if b <= a || a.is_nan() { a } else { b }
}

/// The largest value: NaN if one of them is, -∞ if there are none.
pub(crate) fn max(values: &[Real]) -> Real {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut largest = [Real::NEG_INFINITY; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            largest[lane] = larger(largest[lane], chunk[lane]);
        }
    }
    let lanes = largest.iter().chain(rest);
    lanes.fold(Real::NEG_INFINITY, |a, &b| larger(a, b))
}

/// Calls `f(outer, columns, columns of out)` for all of `out` `[outer, inner]`, in runs of at most [`RUN`] columns.
fn for_runs(
    work: usize,
    out: &mut [Real],
    inner: usize,
    f: impl Fn(usize, Range<usize>, &mut [Real]) + Send + Sync,
) {
    for_pieces(work, out, RUN, |i, mut piece| {
        let mut at = i * RUN;
        while !piece.is_empty() {
            let first = at % inner;
            let count = piece.len().min(inner - first);
            let run = piece.split_off_mut(..count).expect("no longer than the piece");
            f(at / inner, first..first + count, run);
            at += count;
        }
    });
}

/// The sums of `values` `[outer, length, inner]` over the middle axis, each in the order of a binary tree.
///
/// # Shapes
/// `out` `[outer, inner]`
///
/// # Panics
/// If the sizes do not agree.
pub fn sum_axis(values: &[Real], length: usize, inner: usize, out: &mut [Real]) {
    assert_eq!(values.len(), out.len() * length, "sum_axis: sizes differ");
    if inner == 1 {
        for_pieces(values.len(), out, ROW_BLOCK, |i, out| {
            for (r, out) in out.iter_mut().enumerate() {
                *out = sum(&values[(i * ROW_BLOCK + r) * length..][..length]);
            }
        });
    } else {
        for_runs(values.len(), out, inner, |outer, columns, out| {
            let slab = &values[outer * length * inner..][..length * inner];
            sum_columns(slab, inner, 0..length, columns.start, out);
        });
    }
}

/// Sums of `out.len()` columns from `first` over `rows` of a matrix.
fn sum_columns(matrix: &[Real], cols: usize, rows: Range<usize>, first: usize, out: &mut [Real]) {
    if rows.len() <= ROW_LEAF {
        out.fill(0.0);
        for row in rows {
            let values = &matrix[row * cols + first..][..out.len()];
            add(out, values);
        }
        return;
    }
    let middle = middle(&rows);
    let mut right = [0.0; RUN];
    let right = &mut right[..out.len()];
    sum_columns(matrix, cols, rows.start..middle, first, out);
    sum_columns(matrix, cols, middle..rows.end, first, right);
    add(out, right);
}

/// The largest of `values` `[outer, length, inner]` over the middle axis, as [`max`].
///
/// # Shapes
/// `out` `[outer, inner]`
///
/// # Panics
/// If the sizes do not agree.
pub(crate) fn max_axis(values: &[Real], length: usize, inner: usize, out: &mut [Real]) {
    assert_eq!(values.len(), out.len() * length, "max_axis: sizes differ");
    if inner == 1 {
        for_pieces(values.len(), out, ROW_BLOCK, |i, out| {
            for (r, out) in out.iter_mut().enumerate() {
                *out = max(&values[(i * ROW_BLOCK + r) * length..][..length]);
            }
        });
    } else {
        for_runs(values.len(), out, inner, |outer, columns, out| {
            out.fill(Real::NEG_INFINITY);
            for row in outer * length..(outer + 1) * length {
                let values = &values[row * inner + columns.start..][..columns.len()];
                out.iter_mut().zip(values).for_each(|(largest, v)| *largest = larger(*largest, *v));
            }
        });
    }
}
