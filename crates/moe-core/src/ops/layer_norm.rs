use crate::kernel::parallel::{for_row_blocks, for_row_blocks2};
use crate::kernel::reduce::{dot, sum, sum_axis};
use crate::real::Real;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

struct LayerNorm {
    epsilon: Real,
    /// The rows before weight and bias, and the factor that scaled each of them to unit variance.
    normalised: Option<(Tensor, Tensor)>,
}

/// Normalises a row to mean 0 and variance 1, and returns the factor.
fn normalise(row: &mut [Real], epsilon: Real) -> Real {
    let count = row.len() as Real;
    let mean = sum(row) / count;
    row.iter_mut().for_each(|v| *v -= mean);
    let factor = 1.0 / (dot(row, row) / count + epsilon).sqrt();
    row.iter_mut().for_each(|v| *v *= factor);
    factor
}

impl Operator for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let [x, weight, bias] = [inputs[0], inputs[1], inputs[2]];
        let cols = x.cols();
        assert!(
            weight.len() == cols && bias.len() == cols,
            "layer_norm: input {:?}, weight {:?} and bias {:?} do not fit",
            x.shape(),
            weight.shape(),
            bias.shape()
        );
        let (mut rows, mut factors) = (x.clone(), Tensor::unspecified([x.rows()]));
        for_row_blocks2(
            (rows.as_mut_slice(), cols),
            (factors.as_mut_slice(), 1),
            |_, rows, factors| {
                for (row, factor) in rows.chunks_exact_mut(cols).zip(factors) {
                    *factor = normalise(row, self.epsilon);
                }
            },
        );
        let mut y = rows.clone();
        for_row_blocks(y.as_mut_slice(), cols, |_, block| {
            for row in block.chunks_exact_mut(cols) {
                for ((y, w), b) in row.iter_mut().zip(weight.as_slice()).zip(bias.as_slice()) {
                    *y = *y * w + b;
                }
            }
        });
        self.normalised = Some((rows, factors));
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (rows, factors) = self.normalised.as_ref().expect("forward has run");
        let (dy, weight) = (&at.cotangent, at.inputs[1]);
        let (count, cols) = (rows.rows(), rows.cols());
        if gradients.wants(0) {
            let mut dx = dy.clone();
            for_row_blocks(dx.as_mut_slice(), cols, |first, block| {
                for (r, dx) in block.chunks_exact_mut(cols).enumerate() {
                    // dx = factor (g - mean(g) - row mean(g row)) with g = dy weight
                    let row = rows.row(first + r);
                    dx.iter_mut().zip(weight.as_slice()).for_each(|(d, w)| *d *= w);
                    let mean = sum(dx) / cols as Real;
                    let along = dot(dx, row) / cols as Real;
                    let factor = factors.as_slice()[first + r];
                    for (d, x) in dx.iter_mut().zip(row) {
                        *d = factor * (*d - mean - x * along);
                    }
                }
            });
            gradients.add(0, dx);
        }
        if gradients.wants(1) {
            let mut products = dy.clone();
            for_row_blocks(products.as_mut_slice(), cols, |first, block| {
                let rows = &rows.as_slice()[first * cols..];
                block.iter_mut().zip(rows).for_each(|(d, x)| *d *= x);
            });
            let mut dw = Tensor::unspecified(*weight.shape());
            sum_axis(products.as_slice(), count, cols, dw.as_mut_slice());
            gradients.add(1, dw);
        }
        if gradients.wants(2) {
            let mut db = Tensor::unspecified(*at.inputs[2].shape());
            sum_axis(dy.as_slice(), count, cols, db.as_mut_slice());
            gradients.add(2, db);
        }
    }
}

impl<'t> Var<'t> {
    /// Layer normalisation over the last axis (Ba, Kiros and Hinton, "Layer Normalization", 2016, equation 4):
    /// (x - mean) / √(variance + `epsilon`) times `weight`, plus `bias`; the variance divides by D.
    ///
    /// # Shapes
    /// x `[…, D]`, `weight` `[D]`, `bias` `[D]` → as x
    ///
    /// # Panics
    /// If the shapes do not fit, or `epsilon` is not above 0.
    pub fn layer_norm(self, weight: Var<'t>, bias: Var<'t>, epsilon: Real) -> Var<'t> {
        assert!(epsilon > 0.0, "layer_norm: epsilon {epsilon} is not above 0");
        self.tape().apply(LayerNorm { epsilon, normalised: None }, &[self, weight, bias])
    }
}
