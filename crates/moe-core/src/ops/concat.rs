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
        let mut out = Vec::with_capacity(rows * cols);
        for row in 0..rows {
            for input in inputs {
                out.extend_from_slice(input.row(row));
            }
        }
        Tensor::new([rows, cols], out)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut start = 0;
        for (i, input) in at.inputs.iter().enumerate() {
            let end = start + input.cols();
            if gradients.wants(i) {
                let mut part = Vec::with_capacity(input.len());
                for row in 0..input.rows() {
                    part.extend_from_slice(&at.cotangent.row(row)[start..end]);
                }
                gradients.add(i, Tensor::new(*input.shape(), part));
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
