use crate::buffer::Buffer;
use crate::kernel::parallel::{for_row_blocks, for_row_blocks2};
use crate::random::dropout_mask::{DrawRows, keep_mask};
use crate::random::philox::Philox;
use crate::real::Real;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

struct Dropout {
    rate: Real,
    philox: Philox,
    row_ids: Buffer<u64>,
    experts: Option<Buffer<u32>>,
    /// Factor of every element.
    mask: Option<Tensor>,
}

impl Operator for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let x = inputs[0];
        assert_eq!(x.rows(), self.row_ids.len(), "dropout: one row id per row");
        let cols = x.cols();
        let mut mask = Tensor::unspecified(*x.shape());
        let mut y = x.clone();
        for_row_blocks2((mask.as_mut_slice(), cols), (y.as_mut_slice(), cols), |first, mask, y| {
            for (r, mask) in mask.chunks_mut(cols).enumerate() {
                let row = first + r;
                let expert = self.experts.as_ref().map_or(0, |experts| experts[row]);
                keep_mask(self.philox, self.row_ids[row], expert, self.rate, mask);
            }
            y.iter_mut().zip(mask).for_each(|(y, m)| *y *= *m);
        });
        self.mask = Some(mask);
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mask = self.mask.as_ref().expect("forward has run");
        let cols = mask.cols();
        let mut dx = at.cotangent;
        for_row_blocks(dx.as_mut_slice(), cols, |row, block| {
            let mask = &mask.as_slice()[row * cols..];
            block.iter_mut().zip(mask).for_each(|(d, m)| *d *= m);
        });
        gradients.add(0, dx);
    }
}

impl<'t> Var<'t> {
    /// Sets elements to 0 with probability `rate` and divides the others by 1 - `rate`.
    ///
    /// The choice depends on `philox`, the row's id and expert, and the column alone (see [`keep_mask`]): sparse and dense paths,
    /// and any batching, drop the same elements.
    ///
    /// # Shapes
    /// `[B, D]`, B rows named → `[B, D]`
    ///
    /// # Panics
    /// If `rate` is not in [0, 1), or the number of rows differs.
    pub fn dropout(self, rate: Real, philox: Philox, rows: DrawRows<'_>) -> Var<'t> {
        assert!((0.0..1.0).contains(&rate), "dropout rate {rate} is not in [0, 1)");
        if rate == 0.0 {
            return self;
        }
        let dropout = Dropout {
            rate,
            philox,
            row_ids: Buffer::copy_of(rows.row_ids),
            experts: rows.experts.map(Buffer::copy_of),
            mask: None,
        };
        self.tape().apply(dropout, &[self])
    }
}
