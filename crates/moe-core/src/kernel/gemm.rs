//! The GEMM entry point: products of matrices, alone and in groups, cut into pieces of rows for all threads.

use std::ops::Range;

use rayon::prelude::*;

use crate::real::Real;

use super::count::count_multiply_adds;
use super::geometry::{MOST_ROWS, PIECE_LEAST_ROWS, PIECES_PER_THREAD, ZEROS_LEAST_WORK};
use super::isa::Isa;
use super::mat::Mat;
use super::parallel::is_worthwhile;
use super::product::{Product, RowFn, Start};
use super::raw::multiply::product;
use super::zeros::Zeros;

/// What is done to the values of a product before and after it, while they are in registers and caches.
#[derive(Clone, Copy, Default)]
pub struct Around<'f> {
    /// The row that is added to every row of the product of a group: sums begin with it, and with 0 if there is none.
    pub bias: Option<&'f (dyn Fn(usize) -> &'f [Real] + Sync)>,
    /// Called once with every value. It must not compute products or start parallel work of its own: the thread's room for
    /// copied factors is taken.
    pub after: Option<RowFn<'f>>,
}

impl std::fmt::Debug for Around<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around")
            .field("bias", &self.bias.is_some())
            .field("after", &self.after.is_some())
            .finish()
    }
}

/// `c = a b`, with `c` row-major.
///
/// # Shapes
/// `a` `[m, k]`, `b` `[k, n]`, `c` `m * n` elements.
///
/// # Panics
/// If the shapes do not agree.
pub fn gemm(a: Mat<'_>, b: Mat<'_>, c: &mut [Real]) {
    gemm_groups(1, |_| (a, b), Around::default(), c);
}

/// `c_g = a_g b_g` for all groups g, in one parallel region. The `c_g` follow one another in `c`.
///
/// `factors(g)` are `a` and `b` of group g. All `b` have the same number of columns. A group is cut into pieces of rows, so that
/// unequal groups still fill all cores. The cuts do not change the result.
///
/// # Shapes
/// `a_g` `[m_g, k_g]`, `b_g` `[k_g, n]`, `c` n times the sum of all m_g.
///
/// # Panics
/// If the shapes do not agree.
pub fn gemm_groups<'a>(
    groups: usize,
    factors: impl Fn(usize) -> (Mat<'a>, Mat<'a>) + Sync,
    around: Around<'_>,
    c: &mut [Real],
) {
    let (mut work, mut elements, mut all_rows) = (0, 0, 0);
    for group in 0..groups {
        let (a, b) = factors(group);
        assert_eq!(a.cols, b.rows, "inner dimensions differ: {a:?} times {b:?}");
        work += a.rows * a.cols * b.cols;
        elements += a.rows * b.cols;
        all_rows += a.rows;
    }
    assert_eq!(elements, c.len(), "the products have {elements} elements, the output {}", c.len());
    count_multiply_adds(work as u64);
    // Small products do not touch the pool, which would start it.
    let is_worthwhile = is_worthwhile(work);
    let piece = if is_worthwhile { rows_of_piece(all_rows) } else { MOST_ROWS };
    let in_parallel = is_worthwhile && (groups > 1 || all_rows > piece);
    let zeros = if work >= ZEROS_LEAST_WORK { Zeros::of(groups, &factors) } else { Zeros::Few };
    let products = Groups { groups, factors: &factors, around, isa: Isa::best(), piece, zeros };
    products.run(0..groups, 0, in_parallel, c);
}

/// Rows of a piece: long enough for copied factors to pay, short enough for all threads to end at about the same time.
fn rows_of_piece(all_rows: usize) -> usize {
    let pieces = PIECES_PER_THREAD * rayon::current_num_threads();
    all_rows.div_ceil(pieces).next_multiple_of(PIECE_LEAST_ROWS).min(MOST_ROWS)
}

/// Products that are cut in halves, so that cutting allocates nothing.
struct Groups<'f, 's, F> {
    groups: usize,
    factors: &'f F,
    around: Around<'s>,
    isa: Isa,
    /// Rows of a piece.
    piece: usize,
    zeros: Zeros,
}

impl<'a, F: Fn(usize) -> (Mat<'a>, Mat<'a>) + Sync> Groups<'_, '_, F> {
    fn rows(&self, group: usize) -> usize {
        (self.factors)(group).0.rows
    }

    /// Computes the products of `groups`, whose rows begin with row `first` of all rows.
    fn run(&self, groups: Range<usize>, first: usize, in_parallel: bool, c: &mut [Real]) {
        if groups.len() > 1 {
            let middle = groups.start + groups.len() / 2;
            let rows: usize = (groups.start..middle).map(|group| self.rows(group)).sum();
            let cols = (self.factors)(groups.start).1.cols;
            let (left, right) = c.split_at_mut(rows * cols);
            let mut left = || self.run(groups.start..middle, first, in_parallel, left);
            let mut right = || self.run(middle..groups.end, first + rows, in_parallel, right);
            if in_parallel {
                rayon::join(left, right);
            } else {
                left();
                right();
            }
        } else if let Some(group) = groups.into_iter().next() {
            let (a, b) = (self.factors)(group);
            if b.cols == 0 {
                return;
            }
            let block = |(i, c): (usize, &mut [Real])| {
                let start = i * self.piece;
                let end = start + c.len() / b.cols;
                let after = self.around.after.map(|after| {
                    move |row, col, c: &mut [Real]| after(first + start + row, col, c)
                });
                let of_piece = Product {
                    a: a.row_range(start, end - start),
                    b,
                    start: self.around.bias.map_or(Start::Zero, |bias| Start::Row(bias(group))),
                    after: after.as_ref().map(|after| after as _),
                    following: self.following(group, end),
                    zeros: self.zeros,
                };
                product(self.isa, of_piece, c);
            };
            if in_parallel {
                c.par_chunks_mut(self.piece * b.cols).enumerate().with_max_len(1).for_each(block);
            } else {
                c.chunks_mut(self.piece * b.cols).enumerate().for_each(block);
            }
        }
    }

    /// Factors of the piece after the one that ends with row `end` of a group.
    fn following(&self, group: usize, end: usize) -> Option<(Mat<'a>, Mat<'a>)> {
        let (group, first) = if end < self.rows(group) { (group, end) } else { (group + 1, 0) };
        (group < self.groups).then(|| {
            let (a, b) = (self.factors)(group);
            (a.row_range(first, self.piece.min(a.rows - first)), b)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Products of single rows do not look for zeros.
    #[test]
    fn skipped_zeros_do_not_show() {
        let (m, k, n) = (160, 128, 128);
        let full = |count: usize| -> Vec<Real> { (0..count).map(|i| (i as Real).sin()).collect() };
        let rectified = |count: usize| full(count).into_iter().map(|x| x.max(0.0)).collect();
        for (a, b) in [(rectified(m * k), full(k * n)), (full(m * k), rectified(k * n))] {
            let (left, right) = (Mat::new(&a, m, k), Mat::new(&b, k, n));
            assert_ne!(Zeros::of(1, |_| (left, right)), Zeros::Few);
            let (mut c, mut row) = (vec![0.0; m * n], vec![0.0; n]);
            gemm(left, right, &mut c);
            for (i, c) in c.chunks(n).enumerate() {
                gemm(left.row_range(i, 1), right, &mut row);
                assert_eq!(c, row, "row {i}");
            }
        }
    }
}
