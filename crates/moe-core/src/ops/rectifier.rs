use std::hint::black_box;

use crate::buffer::Buffer;
use crate::kernel::parallel::for_row_blocks;
use crate::kernel::raw::wide::{Loops, wide};
use crate::random::dropout_mask::{DropoutDraws, rectify_columns};
use crate::random::philox::Philox;
use crate::real::Real;
use crate::tensor::Tensor;

/// max(x, 0) and dropout, in the same pass over the rows of an operator's output. No mask is kept: an output is positive
/// where the input was and nothing was dropped.
pub(super) struct Rectifier {
    dropout: Option<Dropout>,
}

struct Dropout {
    rate: Real,
    philox: Philox,
    row_ids: Buffer<u64>,
    experts: Option<Buffer<u32>>,
}

impl Rectifier {
    /// The rectifier of `rows` rows.
    ///
    /// # Panics
    /// If the rate is not in [0, 1), or the numbers of rows and names differ.
    pub(super) fn new(rows: usize, dropout: Option<DropoutDraws<'_>>) -> Self {
        let dropout = dropout.map(|DropoutDraws { rate, philox, rows: names }| {
            assert!((0.0..1.0).contains(&rate), "dropout rate {rate} is not in [0, 1)");
            assert_eq!(rows, names.len(), "dropout: one row id per row");
            let experts = names.experts.map(Buffer::copy_of);
            Dropout { rate, philox, row_ids: Buffer::copy_of(names.row_ids), experts }
        });
        Rectifier { dropout }
    }

    /// Rectifies some values of a row, from column `first` on, in place.
    pub(super) fn forward(&self, row: usize, first: usize, values: &mut [Real]) {
        let Some(Dropout { rate, philox, row_ids, experts }) = &self.dropout else {
            return relu(values);
        };
        let expert = experts.as_ref().map_or(0, |experts| experts[row]);
        rectify_columns(*philox, (row_ids[row], expert), *rate, first, values);
    }

    /// Turns the gradient of the output `y` into that of the input, in place.
    pub(super) fn backward(&self, y: &Tensor, gradient: &mut Tensor) {
        let (y, cols) = (y.as_slice(), y.cols());
        let keep = self.dropout.as_ref().map_or(1.0, |dropout| 1.0 / (1.0 - dropout.rate));
        for_row_blocks(gradient.as_mut_slice(), cols, |first, gradient| {
            wide(Slope { y: &y[first * cols..], gradient, keep });
        });
    }
}

/// max(x, 0) of every value, in place: [`Var::relu`](crate::tape::Var::relu) without a tape.
pub fn relu(values: &mut [Real]) {
    wide(Relu(values));
}

struct Relu<'a>(&'a mut [Real]);

impl Loops for Relu<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // Not `x.max(0.0)`, which would hide a NaN. The multiplication makes every value a new one: otherwise the compiler stores
        // only the zeros, with masked stores, which some processors take long for.
        let one = black_box(1.0);
        self.0.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x * one });
    }
}

struct Slope<'a> {
    y: &'a [Real],
    gradient: &'a mut [Real],
    keep: Real,
}

impl Loops for Slope<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (d, y) in self.gradient.iter_mut().zip(self.y) {
            *d = if *y > 0.0 { *d * self.keep } else { 0.0 };
        }
    }
}
