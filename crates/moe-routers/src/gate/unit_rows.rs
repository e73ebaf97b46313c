use moe_core::kernel::for_row_blocks;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Real, Tensor};

/// Smaller norms are replaced by this.
const SMALLEST_NORM: Real = 1e-12;

/// Rows divided by their Euclidean norm.
struct UnitRows;

/// The Euclidean norm of a row.
pub(crate) fn norm(row: &[Real]) -> Real {
    row.iter().map(|v| v * v).sum::<Real>().sqrt()
}

/// Divides rows by their norm, in place.
fn scale_to_unit(rows: &mut [Real], cols: usize) {
    for_row_blocks(rows, cols, |_, block| {
        for row in block.chunks_exact_mut(cols) {
            let norm = norm(row).max(SMALLEST_NORM);
            row.iter_mut().for_each(|v| *v /= norm);
        }
    });
}

impl Operator for UnitRows {
    fn name(&self) -> &'static str {
        "unit_rows"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let mut y = inputs[0].clone();
        let cols = y.cols();
        scale_to_unit(y.as_mut_slice(), cols);
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut dx = at.cotangent;
        let cols = dx.cols();
        for_row_blocks(dx.as_mut_slice(), cols, |first, block| {
            for (r, d) in block.chunks_exact_mut(cols).enumerate() {
                let (x, y) = (at.inputs[0].row(first + r), at.output.row(first + r));
                let norm = norm(x);
                let along = if norm >= SMALLEST_NORM {
                    y.iter().zip(d.iter()).map(|(y, d)| y * d).sum()
                } else {
                    0.0
                };
                let norm = norm.max(SMALLEST_NORM);
                d.iter_mut().zip(y).for_each(|(d, y)| *d = (*d - along * y) / norm);
            }
        });
        gradients.add(0, dx);
    }
}

/// Rows divided by their Euclidean norm, or by 1e-12 if that is larger.
///
/// # Shapes
/// `[B, C]` → the same
pub(crate) fn unit_rows(x: Var<'_>) -> Var<'_> {
    x.tape().apply(UnitRows, &[x])
}

#[cfg(test)]
mod tests {
    use super::*;
    use moe_core::random::{chacha, uniform};
    use moe_core::tape::Tape;
    use moe_core::testing::gradcheck;

    #[test]
    fn rows_have_length_one_and_gradients_are_slopes() {
        let x = uniform([70, 3], 2.0, &mut chacha(1, "tests", 0));
        gradcheck(|_, vars| unit_rows(vars[0]), std::slice::from_ref(&x)).unwrap();
        let tape = Tape::new();
        let y = unit_rows(tape.constant(x)).value();
        for row in 0..70 {
            assert!((norm(y.row(row)) - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn a_row_of_zeros_stays() {
        let tape = Tape::new();
        let x = tape.variable(Tensor::new([2, 2], vec![0.0, 0.0, 3.0, 4.0]));
        let y = unit_rows(x);
        assert_eq!(y.value().as_slice(), [0.0, 0.0, 0.6, 0.8]);
        let dx = tape.backward(y.sum()).wrt(x).unwrap();
        assert_eq!(dx.row(0), [1.0 / SMALLEST_NORM; 2]);
        // (1 - 1.4 y) / 5
        assert!((dx.row(1)[0] - 0.032).abs() < 1e-6 && (dx.row(1)[1] + 0.024).abs() < 1e-6);
    }
}
