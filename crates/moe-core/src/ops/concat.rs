use crate::Tensor;
use crate::tape::{Backward, InputGradients, Operator, Tape, Var};

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
        let mut rest = out.as_mut_slice();
        for row in 0..rows {
            for input in inputs {
                let part = rest.split_off_mut(..input.cols()).expect("widths add up to the row");
                part.copy_from_slice(input.row(row));
            }
        }
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut start = 0;
        for (i, input) in at.inputs.iter().enumerate() {
            let end = start + input.cols();
            if gradients.wants(i) {
                let mut part = Tensor::unspecified(*input.shape());
                let rows = part.as_mut_slice().chunks_exact_mut((end - start).max(1));
                for (row, out) in rows.enumerate() {
                    out.copy_from_slice(&at.cotangent.row(row)[start..end]);
                }
                gradients.add(i, part);
            }
            start = end;
        }
    }
}

impl Tape {
    /// Matrices side by side.
    ///
    /// # Shapes
    /// `[B, D1]`, `[B, D2]`, … → `[B, D1 + D2 + …]`
    ///
    /// # Panics
    /// If there is none, or the numbers of rows differ.
    pub fn concat<'t>(&'t self, parts: &[Var<'t>]) -> Var<'t> {
        assert!(!parts.is_empty(), "concat of nothing");
        self.apply(Concat, parts)
    }
}
