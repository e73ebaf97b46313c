use std::cell::Cell;
use std::ops::Range;

use rayon::prelude::*;

use crate::Real;

use super::mat::Mat;
use super::parallel::is_worthwhile;
use super::raw::{self, Isa, MOST_ROWS};

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

/// `c = a b`, or `c += a b` if `accumulate`; `c` row-major.
///
/// # Shapes
/// `a` `[m, k]`, `b` `[k, n]`, `c` `m * n` elements.
///
/// # Panics
/// If the shapes do not agree.
pub fn gemm(a: Mat<'_>, b: Mat<'_>, accumulate: bool, c: &mut [Real]) {
    gemm_groups(1, |_| a.rows, |_| (a, b), accumulate, c);
}

/// `c_g = a_g b_g` (or `+=` if `accumulate`) for groups g, in one parallel region, where the `c_g` stand one after the other in `c`.
///
/// `rows(g)` is the number of rows of group g, `factors(g)` its `a` and `b`; all `b` have the same number of columns.
/// A group is cut into pieces of a fixed number of rows, so that unequal groups still fill all cores.
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
    accumulate: bool,
    c: &mut [Real],
) {
    let (mut work, mut elements) = (0, 0);
    for group in 0..groups {
        let (a, b) = factors(group);
        assert_eq!(a.cols, b.rows, "inner dimensions differ: {a:?} times {b:?}");
        assert_eq!(a.rows, rows(group), "rows of group {group}");
        work += a.rows * a.cols * b.cols;
        elements += a.rows * b.cols;
    }
    assert_eq!(elements, c.len(), "the products have {elements} elements, the output {}", c.len());
    MULTIPLY_ADDS.set(MULTIPLY_ADDS.get() + work as u64);
    let task = Groups { rows: &rows, factors: &factors, accumulate, isa: Isa::best() };
    if is_worthwhile(work) {
        task.run_parallel(0..groups, c);
    } else {
        task.run_serial(0..groups, c);
    }
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
struct Groups<'f, R, F> {
    rows: &'f R,
    factors: &'f F,
    accumulate: bool,
    isa: Isa,
}

impl<'a, R, F> Groups<'_, R, F>
where
    R: Fn(usize) -> usize + Sync,
    F: Fn(usize) -> (Mat<'a>, Mat<'a>) + Sync,
{
    fn run_parallel(&self, groups: Range<usize>, c: &mut [Real]) {
        if groups.len() > 1 {
            let middle = groups.start + groups.len() / 2;
            let size = (groups.start..middle).map(|g| self.size(g)).sum();
            let (left, right) = c.split_at_mut(size);
            rayon::join(
                || self.run_parallel(groups.start..middle, left),
                || self.run_parallel(middle..groups.end, right),
            );
        } else if let Some(group) = groups.into_iter().next() {
            let (a, b) = (self.factors)(group);
            if b.cols > 0 {
                c.par_chunks_mut(MOST_ROWS * b.cols).enumerate().for_each(|(i, c)| {
                    raw::product(
                        self.isa,
                        a.row_range(i * MOST_ROWS, c.len() / b.cols),
                        b,
                        self.accumulate,
                        c,
                    );
                });
            }
        }
    }

    fn run_serial(&self, groups: Range<usize>, mut c: &mut [Real]) {
        for group in groups {
            let (a, b) = (self.factors)(group);
            let out = c.split_off_mut(..self.size(group)).expect("sizes add up to the output");
            for (i, out) in out.chunks_mut((MOST_ROWS * b.cols).max(1)).enumerate() {
                raw::product(
                    self.isa,
                    a.row_range(i * MOST_ROWS, out.len() / b.cols),
                    b,
                    self.accumulate,
                    out,
                );
            }
        }
    }

    fn size(&self, group: usize) -> usize {
        (self.rows)(group) * (self.factors)(group).1.cols
    }
}
