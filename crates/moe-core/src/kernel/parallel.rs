use rayon::prelude::*;

use crate::Real;

/// Rows of a parallel piece of work.
pub const ROW_BLOCK: usize = 64;

/// Below this many elementary operations a region runs on the calling thread.
const SERIAL_BELOW: usize = 1 << 15;

/// Runs `f` on every piece, in parallel if `work` (elementary operations in all) is worth it.
pub fn for_each_block<P: Send>(work: usize, pieces: Vec<P>, f: impl Fn(P) + Send + Sync) {
    if work < SERIAL_BELOW || pieces.len() < 2 {
        pieces.into_iter().for_each(f);
    } else {
        pieces.into_par_iter().with_max_len(1).for_each(f);
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
    let work = out.len();
    let pieces: Vec<_> = out.chunks_mut(ROW_BLOCK * cols).enumerate().collect();
    for_each_block(work, pieces, |(i, rows)| f(i * ROW_BLOCK, rows));
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
    let work = out.len() + other.len();
    let pieces: Vec<_> = out
        .chunks_mut(ROW_BLOCK * cols)
        .zip(other.chunks_mut(ROW_BLOCK * other_cols))
        .enumerate()
        .collect();
    for_each_block(work, pieces, |(i, (rows, others))| f(i * ROW_BLOCK, rows, others));
}

/// Adds the rows of `matrix` (with as many columns as `out`) to `out`, first row first.
pub fn sum_rows(matrix: &[Real], out: &mut [Real]) {
    for row in matrix.chunks_exact(out.len().max(1)) {
        for (sum, value) in out.iter_mut().zip(row) {
            *sum += value;
        }
    }
}
