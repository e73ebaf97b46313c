use crate::Real;
use crate::kernel::{Loops, wide};

use super::Philox;

/// Names the rows of a tensor for random draws: the data row's id and one more word (the expert, or 0).
#[derive(Clone, Copy, Debug)]
pub struct DrawRows<'a> {
    /// One id per row of the tensor.
    pub row_ids: &'a [u64],
    /// A second word per row; `None` stands for all zeros.
    pub experts: Option<&'a [u32]>,
}

impl DrawRows<'_> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.row_ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.row_ids.is_empty()
    }
}

/// Dropout of the rows of a tensor: with what probability, by which draws, and the names of the rows.
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

/// Writes the dropout factors of one row: 0 with probability `rate`, else 1/(1 - `rate`).
///
/// Column c takes word `(c / 16) % 4` of the block with counter (row, expert, `16 (c / 64) + c % 16`); the
/// factor is 0 where the upper 24 bits of that word, as a number in [0, 1), are below `rate`.
pub fn keep_mask(philox: Philox, row: u64, expert: u32, rate: Real, out: &mut [Real]) {
    wide(Factors::<false> { philox, row, expert, rate, out });
}

/// Multiplies a row by the factors of [`keep_mask`].
pub(crate) fn drop_row(philox: Philox, row: u64, expert: u32, rate: Real, values: &mut [Real]) {
    wide(Factors::<true> { philox, row, expert, rate, out: values });
}

/// The factors of a row, or their products with what stands there.
struct Factors<'a, const MULTIPLY: bool> {
    philox: Philox,
    row: u64,
    expert: u32,
    rate: Real,
    out: &'a mut [Real],
}

impl<const MULTIPLY: bool> Loops for Factors<'_, MULTIPLY> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let threshold = (self.rate * 16_777_216.0).round() as u32;
        let keep = 1.0 / (1.0 - self.rate);
        for (chunk, columns) in self.out.chunks_mut(4 * LANES).enumerate() {
            let words = self.philox.lanes([
                [self.row as u32; LANES],
                [(self.row >> 32) as u32; LANES],
                [self.expert; LANES],
                std::array::from_fn(|l| (chunk * LANES + l) as u32),
            ]);
            for (group, lane) in columns.chunks_mut(LANES).zip(&words) {
                for (value, word) in group.iter_mut().zip(lane) {
                    let factor = if word >> 8 < threshold { 0.0 } else { keep };
                    *value = if MULTIPLY { *value * factor } else { factor };
                }
            }
        }
    }
}
