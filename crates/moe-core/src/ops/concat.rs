use crate::kernel::parallel::for_row_blocks;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::{Tape, Var};
use crate::tensor::Tensor;

struct Concat;

impl Operator for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let rows = inputs[0].rows();
        for input in inputs {
            assert_eq!(input.rows(), rows, "concat: numbers of rows differ");
        }
        let cols = inputs.iter().map(|input| input.cols()).sum();
        let mut out = Tensor::unspecified([rows, cols]);
        for_row_blocks(out.as_mut_slice(), cols, |first, block| {
            for (r, mut row) in block.chunks_exact_mut(cols).enumerate() {
                for input in inputs {
                    let part = row.split_off_mut(..input.cols()).expect("widths add up to the row");
                    part.copy_from_slice(input.row(first + r));
                }
            }
        });
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut start = 0;
        for (i, input) in at.inputs.iter().enumerate() {
            let end = start + input.cols();
            if gradients.wants(i) {
                let mut part = Tensor::unspecified(*input.shape());
                for_row_blocks(part.as_mut_slice(), end - start, |first, block| {
                    for (r, out) in block.chunks_exact_mut(end - start).enumerate() {
                        out.copy_from_slice(&at.cotangent.row(first + r)[start..end]);
                    }
                });
                gradients.add(i, part);
            }
            start = end;
        }
    }
}

impl Tape {
    /// Concatenates matrices along their columns.
    ///
    /// # Shapes
    /// `[B, D1]`, `[B, D2]`, … → `[B, D1 + D2 + …]`
    ///
    /// # Panics
    /// If there is no matrix, or the numbers of rows differ.
    pub fn concat<'t>(&'t self, parts: &[Var<'t>]) -> Var<'t> {
        assert!(!parts.is_empty(), "concat of nothing");
        self.apply(Concat, parts)
    }
}
