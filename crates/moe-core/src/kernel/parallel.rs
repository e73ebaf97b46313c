use rayon::prelude::*;

use crate::Real;

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
        out.par_chunks_mut(piece).enumerate().for_each(|(i, out)| f(i, out));
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
        pieces.enumerate().for_each(|(i, (rows, others))| f(i * ROW_BLOCK, rows, others));
    } else {
        let pieces = out.chunks_mut(piece).zip(other.chunks_mut(other_piece));
        pieces.enumerate().for_each(|(i, (rows, others))| f(i * ROW_BLOCK, rows, others));
    }
}
