//! The Sinkhorn operator, which makes the rows and columns of matrices sum to one.

use moe_core::kernel::vector_math::{Ln, map};
use moe_core::kernel::{dot, for_pieces};
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Buffer, Real, Shape, Tensor};

use crate::normalise::{normalise_columns, normalise_rows, project};

/// The Sinkhorn operator in log space (Mena and others: Learning latent permutations with Gumbel-Sinkhorn networks,
/// ICLR 2018; in COMET, KDD 2023, the relaxation of a permutation).
///
/// From L = (`log_alpha` + noise) / temperature, `iterations` times: the logsumexp of each row is subtracted from it,
/// then that of each column. The result is exp(L). Its columns sum to one up to rounding; its rows sum to one only if
/// the iterations have converged, which takes more of them the lower the temperature is.
///
/// The gradient goes through all iterations to `log_alpha` and to the temperatures. Forward and backward are one
/// operator of the tape; it keeps two matrices per iteration. Temperatures down to 1e-7 are safe in both precisions,
/// since each row or column is shifted by its largest element first. A softmax below e^-80 (e^-690 in double precision)
/// is an exact zero.
///
/// # Shapes
/// `log_alpha` `[M, N, N]`, `temperature` `[]` or `[M]`, `noise` `[M, N, N]` → `[M, N, N]`
///
/// # Panics
/// If the shapes do not fit, there are no iterations, or a temperature is not positive.
pub fn sinkhorn<'t>(
    log_alpha: Var<'t>,
    temperature: Var<'t>,
    iterations: usize,
    noise: Option<Tensor>,
) -> Var<'t> {
    let shape = log_alpha.shape();
    assert!(
        shape.rank() == 3 && shape[1] == shape[2] && shape[1] > 0,
        "sinkhorn: {shape:?} is not a batch of square matrices"
    );
    let given = temperature.shape();
    assert!(
        given.rank() == 0 || given[..] == shape[..1],
        "sinkhorn: temperatures {given:?} for matrices {shape:?}"
    );
    if let Some(noise) = &noise {
        assert_eq!(*noise.shape(), shape, "sinkhorn: noise of another shape");
    }
    assert!(iterations > 0, "sinkhorn without an iteration");
    let softmaxes = Buffer::unspecified(0);
    log_alpha.tape().apply(Sinkhorn { iterations, noise, softmaxes }, &[log_alpha, temperature])
}

/// Gumbel noise from uniform numbers u in [0, 1): -ln(-ln(u + 1e-20) + 1e-20), as in the authors' code.
pub fn gumbel(uniform: &Tensor) -> Tensor {
    const EPSILON: Real = 1e-20;
    let mut noise = uniform.map(|u| u + EPSILON);
    map(Ln, noise.as_mut_slice());
    let mut noise = noise.map(|log| EPSILON - log);
    map(Ln, noise.as_mut_slice());
    noise.map(|log| -log)
}

struct Sinkhorn {
    iterations: usize,
    noise: Option<Tensor>,
    /// `[M, 2 iterations, N, N]`: the softmax over each row, then over each column, of every iteration.
    softmaxes: Buffer<Real>,
}

impl Sinkhorn {
    /// The logits before the first iteration: (`log_alpha` + noise) / temperature of matrix `m`.
    fn start(&self, inputs: &[&Tensor], m: usize) -> Buffer<Real> {
        let size = square(inputs[0].shape());
        let temperature = temperature(inputs[1], m);
        let mut logits = Buffer::copy_of(&inputs[0].as_slice()[m * size..][..size]);
        if let Some(noise) = &self.noise {
            let noise = &noise.as_slice()[m * size..][..size];
            logits.iter_mut().zip(noise).for_each(|(logit, noise)| *logit += noise);
        }
        logits.iter_mut().for_each(|logit| *logit /= temperature);
        logits
    }

    /// Number of elementary operations of a pass over all matrices, with an exponential counted as a few.
    fn work(&self, shape: &Shape) -> usize {
        8 * self.iterations * shape.size()
    }
}

/// Number of elements of one matrix (N²).
fn square(shape: &Shape) -> usize {
    shape[1] * shape[2]
}

fn temperature(temperatures: &Tensor, m: usize) -> Real {
    let temperatures = temperatures.as_slice();
    temperatures[if temperatures.len() == 1 { 0 } else { m }]
}

impl Operator for Sinkhorn {
    fn name(&self) -> &'static str {
        "sinkhorn"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let shape = *inputs[0].shape();
        for &temperature in inputs[1].as_slice() {
            assert!(temperature > 0.0, "sinkhorn at temperature {temperature}");
        }
        let (n, size) = (shape[1], square(&shape));
        let of_matrix = 2 * self.iterations * size;
        let mut softmaxes = Buffer::unspecified(shape[0] * of_matrix);
        for_pieces(self.work(&shape), &mut softmaxes, of_matrix, |m, softmaxes| {
            let mut logits = self.start(inputs, m);
            let mut scratch = Buffer::unspecified(2 * n);
            for pair in softmaxes.chunks_exact_mut(2 * size) {
                let (rows, columns) = pair.split_at_mut(size);
                normalise_rows(&mut logits, rows, n, &mut scratch[..n]);
                normalise_columns(&mut logits, columns, n, &mut scratch);
            }
        });
        let mut out = Tensor::unspecified(shape);
        let last =
            softmaxes.chunks_exact(of_matrix).map(|softmaxes| &softmaxes[of_matrix - size..]);
        for (out, last) in out.as_mut_slice().chunks_exact_mut(size).zip(last) {
            out.copy_from_slice(last);
        }
        self.softmaxes = softmaxes;
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let shape = *at.inputs[0].shape();
        let (n, size) = (shape[1], square(&shape));
        let of_matrix = 2 * self.iterations * size;
        // The gradient with respect to the logits before the first iteration.
        let mut slope = Tensor::unspecified(shape);
        for_pieces(self.work(&shape), slope.as_mut_slice(), size, |m, slope| {
            let here = m * size..(m + 1) * size;
            let output = &at.output.as_slice()[here.clone()];
            for ((d, y), c) in slope.iter_mut().zip(output).zip(&at.cotangent.as_slice()[here]) {
                *d = y * c;
            }
            let mut sums = Buffer::unspecified(n);
            let softmaxes = &self.softmaxes[m * of_matrix..][..of_matrix];
            for pair in softmaxes.chunks_exact(2 * size).rev() {
                let (rows, columns) = pair.split_at(size);
                project(slope, rows, columns, n, &mut sums);
            }
        });
        if gradients.wants(1) {
            let mut d = Tensor::zeros(*at.inputs[1].shape());
            for m in 0..shape[0] {
                let start = self.start(at.inputs, m);
                let of_temperature = -dot(&slope.as_slice()[m * size..][..size], &start)
                    / temperature(at.inputs[1], m);
                let place = if d.len() == 1 { 0 } else { m };
                d.as_mut_slice()[place] += of_temperature;
            }
            gradients.add(1, d);
        }
        for (m, slope) in slope.as_mut_slice().chunks_exact_mut(size).enumerate() {
            let temperature = temperature(at.inputs[1], m);
            slope.iter_mut().for_each(|d| *d /= temperature);
        }
        gradients.add(0, slope);
    }
}
