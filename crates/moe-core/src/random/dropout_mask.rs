use crate::kernel::raw::wide::{Loops, wide};
use crate::real::Real;

use super::philox::Philox;

/// Names the rows of a tensor for random draws: the data row's id and one more word (the expert, or 0).
#[derive(Clone, Copy, Debug)]
pub struct DrawRows<'a> {
    /// One id per row of the tensor.
    pub row_ids: &'a [u64],
    /// A second word per row. `None` stands for zeros.
    pub experts: Option<&'a [u32]>,
}

impl DrawRows<'_> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.row_ids.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.row_ids.is_empty()
    }
}

/// Dropout of the rows of a tensor: its probability, the random function, and the names of the rows.
#[derive(Clone, Copy, Debug)]
pub struct DropoutDraws<'a> {
    /// Probability of a zero, in [0, 1).
    pub rate: Real,
    /// The random function.
    pub philox: Philox,
    /// One name for each row.
    pub rows: DrawRows<'a>,
}

const LANES: usize = 16;

/// Columns of a block of words.
const CHUNK: usize = 4 * LANES;

/// Writes the dropout factors of one row: 0 with probability `rate`, else 1/(1 - `rate`).
///
/// Column c takes word `(c / 16) % 4` of the block with counter (row, expert, `16 (c / 64) + c % 16`); the
/// factor is 0 where the upper 24 bits of that word, as a number in [0, 1), are below `rate`.
pub fn keep_mask(philox: Philox, row: u64, expert: u32, rate: Real, out: &mut [Real]) {
    wide(Factors::<false> { philox, row, expert, rate, first: 0, out });
}

/// max(x, 0) times the factor of [`keep_mask`] for columns of a row, with its id and expert, from `first` on.
pub(crate) fn rectify_columns(
    philox: Philox,
    (row, expert): (u64, u32),
    rate: Real,
    first: usize,
    values: &mut [Real],
) {
    wide(Factors::<true> { philox, row, expert, rate, first, out: values });
}

/// The factors of a row, or their products with max(x, 0) of the present values.
struct Factors<'a, const RECTIFY: bool> {
    philox: Philox,
    row: u64,
    expert: u32,
    rate: Real,
    /// The column of the first value of `out`.
    first: usize,
    out: &'a mut [Real],
}

impl<const RECTIFY: bool> Loops for Factors<'_, RECTIFY> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let threshold = (self.rate * 16_777_216.0).round() as u32;
        let keep = 1.0 / (1.0 - self.rate);
        let (mut column, mut rest) = (self.first, self.out);
        while !rest.is_empty() {
            let (chunk, skipped) = (column / CHUNK, column % CHUNK);
            let words = self.philox.lanes([
                [self.row as u32; LANES],
                [(self.row >> 32) as u32; LANES],
                [self.expert; LANES],
                std::array::from_fn(|l| (chunk * LANES + l) as u32),
            ]);
            let count = rest.len().min(CHUNK - skipped);
            let (columns, others) = rest.split_at_mut(count);
            for (value, word) in columns.iter_mut().zip(&words.as_flattened()[skipped..]) {
                let factor = if word >> 8 < threshold { 0.0 } else { keep };
                *value = match RECTIFY {
                    true if *value < 0.0 => 0.0,
                    true => *value * factor,
                    false => factor,
                };
            }
            (column, rest) = (column + count, others);
        }
    }
}
