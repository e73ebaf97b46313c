use moe_core::kernel::vector_math::{Ln, map};
use moe_core::kernel::{dot, sum};
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Buffer, Real, Tensor};

/// Added to an entry before its logarithm is taken.
const EPSILON: Real = 1e-6;

/// The entropy of soft permutations: the mean over the matrices P of Σ -P ln(P + 1e-6) plus the same of P with rows
/// divided by their sums (the regulariser of COMET's code, without its coefficient). It drives entries to zero or one.
/// For a hard permutation it is -2 N ln(1 + 1e-6), slightly below zero.
///
/// # Shapes
/// `[M, N, N]` → `[]`
///
/// # Panics
/// If the shape is not `[M, N, N]`.
pub fn permutation_entropy(soft: Var<'_>) -> Var<'_> {
    let shape = soft.shape();
    assert!(shape.rank() == 3 && shape[1] == shape[2], "permutation_entropy of {shape:?}");
    soft.tape().apply(PermutationEntropy { gradient: Tensor::zeros([0]) }, &[soft])
}

/// [`permutation_entropy`] of hard permutations of N experts.
pub(crate) fn hard_entropy(experts: usize) -> Real {
    -2.0 * experts as Real * EPSILON.ln_1p()
}

struct PermutationEntropy {
    gradient: Tensor,
}

impl Operator for PermutationEntropy {
    fn name(&self) -> &'static str {
        "permutation_entropy"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let soft = inputs[0];
        let (matrices, n) = (soft.shape()[0].max(1), soft.cols());
        let share = 1.0 / matrices as Real;
        let mut gradient = Tensor::unspecified(*soft.shape());
        let mut scaled = Buffer::unspecified(n);
        let mut slopes = Buffer::unspecified(n);
        let mut total = 0.0;
        for (row, d) in gradient.as_mut_slice().chunks_exact_mut(n.max(1)).enumerate() {
            let values = soft.row(row);
            total += terms(values, d);
            let row_sum = sum(values);
            scaled.iter_mut().zip(values).for_each(|(s, v)| *s = v / row_sum);
            total += terms(&scaled, &mut slopes);
            let mean = dot(&scaled, &slopes);
            for (d, slope) in d.iter_mut().zip(slopes.iter()) {
                *d = (*d + (slope - mean) / row_sum) * share;
            }
        }
        self.gradient = gradient;
        Tensor::scalar(total * share)
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let factor = at.cotangent.item();
        gradients.add(0, self.gradient.map(|g| g * factor));
    }
}

/// Returns Σ -p ln(p + ε) and writes its derivatives.
fn terms(p: &[Real], slopes: &mut [Real]) -> Real {
    slopes.iter_mut().zip(p).for_each(|(log, p)| *log = p + EPSILON);
    map(Ln, slopes);
    let total = -dot(p, slopes);
    for (slope, p) in slopes.iter_mut().zip(p) {
        *slope = -*slope - p / (p + EPSILON);
    }
    total
}
