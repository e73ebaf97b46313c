use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use crate::real::Real;

use super::mat::Mat;
use super::parallel::is_worthwhile;
use super::raw::{self, Isa, MOST_ROWS, Product, Start};
use super::zeros::Zeros;

thread_local! {
    static MULTIPLY_ADDS: Cell<u64> = const { Cell::new(0) };
}

/// Multiply-adds that the door has been asked for by this thread so far.
///
/// A product counts where it was asked for, also when other threads compute it, so a test can tell
/// that work follows the number of slots.
pub fn multiply_adds() -> u64 {
    MULTIPLY_ADDS.get()
}

pub(super) fn count_multiply_adds(work: u64) {
    MULTIPLY_ADDS.set(MULTIPLY_ADDS.get() + work);
}

/// What `f` returns, and the multiply-adds that it asked for, which do not count for this thread.
pub(super) fn with_multiply_adds<R>(f: impl FnOnce() -> R) -> (R, u64) {
    let before = MULTIPLY_ADDS.get();
    let result = f();
    (result, MULTIPLY_ADDS.replace(before) - before)
}

/// A function of a row, of all groups together, the first of some of its columns, and the numbers there.
pub type RowFn<'f> = &'f (dyn Fn(usize, usize, &mut [Real]) + Sync);

/// What is done to the numbers of a product before and after it, while they are in registers and caches.
#[derive(Clone, Copy, Default)]
pub struct Around<'f> {
    /// What the product of a group is added to; nothing if there is no such function.
    pub start: Option<&'f (dyn Fn(usize) -> Start<'f> + Sync)>,
    /// Called once with every number. It must not compute products or start parallel work of its own: the thread's room
    /// for copied factors is in use.
    pub after: Option<RowFn<'f>>,
}

impl std::fmt::Debug for Around<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around")
            .field("start", &self.start.is_some())
            .field("after", &self.after.is_some())
            .finish()
    }
}

/// `c = a b`, or `c += a b` if `accumulate`; `c` row-major.
///
/// # Shapes
/// `a` `[m, k]`, `b` `[k, n]`, `c` `m * n` elements.
///
/// # Panics
/// If the shapes do not agree.
pub fn gemm(a: Mat<'_>, b: Mat<'_>, accumulate: bool, c: &mut [Real]) {
    let start = if accumulate { Start::Present } else { Start::Zero };
    let around = Around { start: Some(&|_| start), ..Around::default() };
    gemm_groups(1, |_| a.rows, |_| (a, b), around, c);
}

/// `c_g = a_g b_g` for groups g, in one parallel region, where the `c_g` stand one after the other in `c`.
///
/// `rows(g)` is the number of rows of group g, `factors(g)` its `a` and `b`; all `b` have the same number of columns.
/// A group is cut into pieces of rows, so that unequal groups still fill all cores; how never shows in the result.
///
/// # Shapes
/// `a_g` `[rows(g), k_g]`, `b_g` `[k_g, n]`, `c` n times the sum of all rows.
///
/// # Panics
/// If the shapes do not agree.
pub fn gemm_groups<'a>(
    groups: usize,
    rows: impl Fn(usize) -> usize + Sync,
    factors: impl Fn(usize) -> (Mat<'a>, Mat<'a>) + Sync,
    around: Around<'_>,
    c: &mut [Real],
) {
    let (mut work, mut elements, mut all_rows) = (0, 0, 0);
    for group in 0..groups {
        let ((a, b), rows) = (factors(group), rows(group));
        assert_eq!(a.cols, b.rows, "inner dimensions differ: {a:?} times {b:?}");
        assert!(a.rows == rows, "rows of group {group}");
        work += rows * a.cols * b.cols;
        elements += rows * b.cols;
        all_rows += rows;
    }
    assert_eq!(elements, c.len(), "the products have {elements} elements, the output {}", c.len());
    count_multiply_adds(work as u64);
    // Small products do not ask for the pool, which would start it.
    let is_worthwhile = is_worthwhile(work);
    let piece = if is_worthwhile { rows_of_piece(all_rows) } else { MOST_ROWS };
    let in_parallel = is_worthwhile && (groups > 1 || all_rows > piece);
    let stream = size_of_val(c) >= BEYOND_CACHES && around.after.is_none();
    let zeros = if work >= LEAST_WORK { Zeros::of(groups, &factors) } else { Zeros::Few };
    let (rows, factors, isa) = (&rows, &factors, Isa::best());
    let task = Groups { groups, rows, factors, around, isa, piece, stream, zeros };
    task.run(0..groups, 0, in_parallel, c);
}

/// Multiply-adds of products for which it pays to look for zeros.
const LEAST_WORK: usize = 1 << 21;

/// Bytes of a result that the caches cannot be expected to keep until it is read.
const BEYOND_CACHES: usize = 32 << 20;

/// Pieces are long, so that what is copied for one pays, and as many as the threads need to end at the same time; whole
/// strips of six and of eight rows.
fn rows_of_piece(all_rows: usize) -> usize {
    const PIECES_PER_THREAD: usize = 4;
    const LEAST_ROWS: usize = 96;
    let pieces = PIECES_PER_THREAD * rayon::current_num_threads();
    all_rows.div_ceil(pieces).next_multiple_of(LEAST_ROWS).min(MOST_ROWS)
}

/// The instruction set that products are computed with; results may differ between sets in the last bits.
pub fn instruction_set() -> &'static str {
    match Isa::best() {
        Isa::Portable => "portable",
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => "avx2",
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => "avx512",
    }
}

/// Products that are cut by halves, so that nothing is allocated for the cutting.
struct Groups<'f, 's, R, F> {
    groups: usize,
    rows: &'f R,
    factors: &'f F,
    around: Around<'s>,
    isa: Isa,
    /// Rows of a piece.
    piece: usize,
    stream: bool,
    zeros: Zeros,
}

impl<'a, R, F> Groups<'_, '_, R, F>
where
    R: Fn(usize) -> usize + Sync,
    F: Fn(usize) -> (Mat<'a>, Mat<'a>) + Sync,
{
    /// The products of `groups`, whose rows begin at `first` of all rows.
    fn run(&self, groups: Range<usize>, first: usize, in_parallel: bool, c: &mut [Real]) {
        if groups.len() > 1 {
            let middle = groups.start + groups.len() / 2;
            let rows: usize = (groups.start..middle).map(self.rows).sum();
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
                let product = Product {
                    a: a.row_range(start, end - start),
                    b,
                    start: self.around.start.map_or(Start::Zero, |of_group| of_group(group)),
                    after: after.as_ref().map(|after| after as _),
                    following: self.following(group, end),
                    stream: self.stream,
                    zeros: self.zeros,
                };
                raw::product(self.isa, product, c);
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
        let (group, first) = if end < (self.rows)(group) { (group, end) } else { (group + 1, 0) };
        (group < self.groups).then(|| {
            let (a, b) = (self.factors)(group);
            (a.row_range(first, self.piece.min(a.rows - first)), b)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of single rows no zeros are looked for.
    #[test]
    fn zeros_that_are_passed_over_do_not_show() {
        let (m, k, n) = (160, 128, 128);
        let full = |count: usize| -> Vec<Real> { (0..count).map(|i| (i as Real).sin()).collect() };
        let rectified = |count: usize| full(count).into_iter().map(|x| x.max(0.0)).collect();
        for (a, b) in [(rectified(m * k), full(k * n)), (full(m * k), rectified(k * n))] {
            let (left, right) = (Mat::new(&a, m, k), Mat::new(&b, k, n));
            assert_ne!(Zeros::of(1, |_| (left, right)), Zeros::Few);
            let (mut c, mut row) = (vec![0.0; m * n], vec![0.0; n]);
            gemm(left, right, false, &mut c);
            for (i, c) in c.chunks(n).enumerate() {
                gemm(left.row_range(i, 1), right, false, &mut row);
                assert_eq!(c, row, "row {i}");
            }
        }
    }
}
