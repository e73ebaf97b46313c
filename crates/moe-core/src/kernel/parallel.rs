//! Parallel loops. How they cut the work depends on its size alone, or does not show in the result.

use rayon::prelude::*;

use crate::real::Real;

use super::count::{count_multiply_adds, with_multiply_adds};
use super::geometry::{ROW_BLOCK, SERIAL_BELOW};

/// Whether `work` elementary operations are worth a parallel region.
pub(super) fn is_worthwhile(work: usize) -> bool {
    work >= SERIAL_BELOW && rayon::current_num_threads() > 1
}

/// Runs `f` on one of rayon's threads, so that each parallel region in it begins at once instead of waiting until a thread of
/// the pool has woken. Its multiply-adds count for the calling thread.
///
/// ```
/// use moe_core::kernel::in_pool;
///
/// assert!(in_pool(rayon::current_thread_index).is_some());
/// ```
pub fn in_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    if rayon::current_thread_index().is_some() {
        return f();
    }
    let (result, work) = rayon::scope(|_| with_multiply_adds(f));
    count_multiply_adds(work);
    result
}

/// Returns the results of `f` and `g`, computed in one parallel region if `work` (elementary operations in all) is worth it, so
/// that a thread that has finished its share of one goes on with the other. Their multiply-adds count for the calling thread.
pub(crate) fn both<A: Send, B: Send>(
    work: usize,
    f: impl FnOnce() -> A + Send,
    g: impl FnOnce() -> B + Send,
) -> (A, B) {
    if !is_worthwhile(work) {
        return (f(), g());
    }
    let ((a, of_f), (b, of_g)) = rayon::join(|| with_multiply_adds(f), || with_multiply_adds(g));
    count_multiply_adds(of_f + of_g);
    (a, b)
}

/// Whether `work` elementary operations for each of `rows` rows are worth a parallel region of the whole: with fewer rows than a
/// block, nothing within it would run in parallel either.
pub(crate) fn are_worth_a_region(rows: usize, work: usize) -> bool {
    rows >= ROW_BLOCK && is_worthwhile(rows * work)
}

/// Calls `f(i, a[i], b[i])` for every i: independent computations over the same rows. They run in one parallel region if there
/// are at least 64 rows and `work` (elementary operations for each) is worth it, so that a thread that has finished one goes on
/// with another. Their multiply-adds count for the calling thread.
///
/// # Panics
/// If the lengths of `a` and `b` differ.
pub(crate) fn for_each2<A: Send, B: Send>(
    (rows, work): (usize, usize),
    a: &mut [A],
    b: &mut [B],
    f: impl Fn(usize, &mut A, &mut B) + Sync,
) {
    assert_eq!(a.len(), b.len(), "one of each");
    let work = if rows >= ROW_BLOCK { rows * work } else { 0 };
    each_from(0, work, a, b, &f);
}

/// The calls of [`for_each2`] from number `first` on.
fn each_from<A: Send, B: Send>(
    first: usize,
    work: usize,
    a: &mut [A],
    b: &mut [B],
    f: &(impl Fn(usize, &mut A, &mut B) + Sync),
) {
    let count = a.len();
    if let ([a], [b]) = (&mut *a, &mut *b) {
        f(first, a, b);
    } else if count > 1 {
        let ((a, rest_of_a), (b, rest_of_b)) =
            (a.split_at_mut(count / 2), b.split_at_mut(count / 2));
        both(
            work,
            || each_from(first, work, a, b, f),
            || each_from(first + count / 2, work, rest_of_a, rest_of_b, f),
        );
    }
}

/// Calls `f(number, piece)` for pieces of `piece` elements of `out`, the last one shorter, in parallel if `work`
/// (elementary operations in all) is worth it.
///
/// # Panics
/// If `piece` is 0.
pub fn for_pieces(
    work: usize,
    out: &mut [Real],
    piece: usize,
    f: impl Fn(usize, &mut [Real]) + Send + Sync,
) {
    if out.len() > piece && is_worthwhile(work) {
        let pieces = out.par_chunks_mut(piece).enumerate();
        // Any piece can go to another thread: by default rayon keeps some together.
        pieces.with_max_len(1).for_each(|(i, out)| f(i, out));
    } else {
        out.chunks_mut(piece).enumerate().for_each(|(i, out)| f(i, out));
    }
}

/// Calls `f(first row, rows of out)` for blocks of 64 rows of `out`, a matrix with `cols` columns.
///
/// # Panics
/// If `out` is not a whole number of rows.
pub fn for_row_blocks(out: &mut [Real], cols: usize, f: impl Fn(usize, &mut [Real]) + Send + Sync) {
    if cols == 0 {
        return;
    }
    assert_eq!(out.len() % cols, 0, "{} elements in rows of {cols}", out.len());
    for_pieces(out.len(), out, ROW_BLOCK * cols, |i, rows| f(i * ROW_BLOCK, rows));
}

/// [`for_row_blocks`] over two matrices with the same number of rows.
///
/// # Panics
/// If the numbers of rows differ.
pub fn for_row_blocks2(
    (out, cols): (&mut [Real], usize),
    (other, other_cols): (&mut [Real], usize),
    f: impl Fn(usize, &mut [Real], &mut [Real]) + Send + Sync,
) {
    if cols == 0 || other_cols == 0 {
        return;
    }
    assert_eq!(out.len() / cols, other.len() / other_cols, "numbers of rows differ");
    let (piece, other_piece) = (ROW_BLOCK * cols, ROW_BLOCK * other_cols);
    if is_worthwhile(out.len() + other.len()) {
        let pieces = out.par_chunks_mut(piece).zip(other.par_chunks_mut(other_piece));
        let pieces = pieces.enumerate().with_max_len(1);
        pieces.for_each(|(i, (rows, others))| f(i * ROW_BLOCK, rows, others));
    } else {
        let pieces = out.chunks_mut(piece).zip(other.chunks_mut(other_piece));
        pieces.enumerate().for_each(|(i, (rows, others))| f(i * ROW_BLOCK, rows, others));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::count::multiply_adds;
    use crate::kernel::gemm::gemm;
    use crate::kernel::mat::Mat;

    #[test]
    fn work_in_the_pool_counts_for_the_caller() {
        let before = multiply_adds();
        let factor = in_pool(|| {
            let mut c = [0.0];
            gemm(Mat::new(&[2.0; 5], 1, 5), Mat::new(&[3.0; 5], 5, 1), &mut c);
            // Already in the pool: counted once.
            in_pool(|| c[0])
        });
        assert_eq!((factor, multiply_adds() - before), (30.0, 5));
    }

    #[test]
    fn work_of_both_counts_for_the_caller() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
        let product = |factor: Real| {
            let mut c = [0.0];
            gemm(Mat::new(&[factor; 5], 1, 5), Mat::new(&[3.0; 5], 5, 1), &mut c);
            c[0]
        };
        for work in [0, usize::MAX] {
            pool.install(|| {
                let before = multiply_adds();
                let (a, b) = both(work, || product(2.0), || both(work, || product(1.0), || 7).0);
                assert_eq!((a, b, multiply_adds() - before), (30.0, 15.0, 10), "{work}");
            });
        }
    }

    #[test]
    fn each_is_called_with_its_own() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
        for (count, rows) in [(0, ROW_BLOCK), (1, ROW_BLOCK), (5, ROW_BLOCK), (5, 1)] {
            let mut a: Vec<usize> = (0..count).collect();
            let mut b = vec![(0, false); count];
            pool.install(|| {
                for_each2((rows, 1 << 20), &mut a, &mut b, |i, a, b| {
                    *a += 10;
                    *b = (i, rayon::current_thread_index().is_some());
                });
            });
            assert!(a.into_iter().eq(10..10 + count), "{count}");
            assert!(b.into_iter().eq((0..count).map(|i| (i, true))), "{count}");
        }
        // Few rows do not touch the pool.
        for_each2((1, usize::MAX), &mut [(), ()], &mut [(), ()], |_, (), ()| {
            assert_eq!(rayon::current_thread_index(), None);
        });
    }
}
