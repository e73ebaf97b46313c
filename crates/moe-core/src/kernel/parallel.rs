use rayon::prelude::*;

use crate::real::Real;

use super::gemm::{count_multiply_adds, with_multiply_adds};

/// Rows of a parallel piece of work.
pub const ROW_BLOCK: usize = 64;

/// Elements of a parallel piece of work on elements.
pub const PIECE: usize = 4096;

/// Below this many elementary operations a region runs on the calling thread.
const SERIAL_BELOW: usize = 1 << 15;

/// Whether `work` elementary operations are worth a parallel region.
pub(super) fn is_worthwhile(work: usize) -> bool {
    work >= SERIAL_BELOW && rayon::current_num_threads() > 1
}

/// Runs `f` on one of rayon's threads, if the calling one is not: each parallel region in it then begins at once, where
/// it otherwise waits until a thread of the pool has woken. What it asks of the door counts for the calling thread.
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

/// What `f` and `g` return; in one parallel region if `work` (elementary operations in all) is worth it, so that a thread
/// that has no more of one goes on with the other. What they ask of the door counts for the calling thread.
pub fn both<A: Send, B: Send>(
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

/// Calls `f(i, a[i], b[i])` for every i: computations for the same rows that know nothing of each other. In one parallel
/// region if there are at least [`ROW_BLOCK`] rows and `work` (elementary operations for each) is worth it, so that a thread
/// that is done with one goes on with another. What they ask of the door counts for the calling thread.
///
/// # Panics
/// If there are not as many `a` as `b`.
pub fn for_each2<A: Send, B: Send>(
    (rows, work): (usize, usize),
    a: &mut [A],
    b: &mut [B],
    f: impl Fn(usize, &mut A, &mut B) + Sync,
) {
    assert_eq!(a.len(), b.len(), "one of each");
    let work = if rows >= ROW_BLOCK { rows * work } else { 0 };
    each_from(0, work, a, b, &f);
}

/// Of [`for_each2`], the part that begins with number `first`.
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

/// Calls `f(number, piece)` for pieces of `piece` elements of `out`, the last one shorter; in parallel if `work`
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
        // Any piece can go to another thread: by itself rayon leaves some together.
        pieces.with_max_len(1).for_each(|(i, out)| f(i, out));
    } else {
        out.chunks_mut(piece).enumerate().for_each(|(i, out)| f(i, out));
    }
}

/// Calls `f(first row, rows of out)` for blocks of [`ROW_BLOCK`] rows of `out`, a matrix with `cols` columns.
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
/// If they have not.
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
    use crate::kernel::{Mat, gemm, multiply_adds};

    #[test]
    fn work_in_the_pool_counts_where_it_was_asked_for() {
        let before = multiply_adds();
        let factor = in_pool(|| {
            let mut c = [0.0];
            gemm(Mat::new(&[2.0; 5], 1, 5), Mat::new(&[3.0; 5], 5, 1), false, &mut c);
            // Already there: counted once.
            in_pool(|| c[0])
        });
        assert_eq!((factor, multiply_adds() - before), (30.0, 5));
    }

    #[test]
    fn work_of_both_counts_where_it_was_asked_for() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
        let product = |factor: Real| {
            let mut c = [0.0];
            gemm(Mat::new(&[factor; 5], 1, 5), Mat::new(&[3.0; 5], 5, 1), false, &mut c);
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
        // Few rows do not ask for a pool.
        for_each2((1, usize::MAX), &mut [(), ()], &mut [(), ()], |_, (), ()| {
            assert_eq!(rayon::current_thread_index(), None);
        });
    }
}
