use moe_core::kernel::for_row_blocks;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Real, Tensor};

use crate::registry::parameters::Choice;
use crate::routers::moesart::sample::Drawn;

/// The adjustment of the logits o of drawn experts in MOESART.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjustment {
    /// `small-random`: o - ln((K-1) p) for all but one of them, which keeps o.
    SmallRandom,
    /// `zero`: o - ln(K p) for all. The weights are equal, and the gate gets no gradient from the task.
    Zero,
    /// `large`: no adjustment. The weights are the softmax over the drawn experts.
    Large,
}

impl Choice for Adjustment {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("small-random", Adjustment::SmallRandom),
        ("zero", Adjustment::Zero),
        ("large", Adjustment::Large),
    ];
}

/// The authors' guard of the logarithm.
const EPSILON: Real = 1e-10;

/// Weights of drawn experts: the softmax over them of `o + ln(count) - adjustment`, with p + 1e-10 for p as in the
/// authors' code.
///
/// With v = e^o this is v / Σ v over the drawn experts of a row, with v / ((K-1) (p + 1e-10)) instead of v for an
/// adjusted one, so that no logarithm of a small number is taken. e^o is relative to the largest drawn logit. For p ≫
/// 1e-10, `small-random` gives p_a / (1 + p_a) to the kept expert a and 1 / ((K-1) (1 + p_a)) to the others.
struct SampledWeights {
    drawn: Drawn,
    adjustment: Adjustment,
    k: usize,
    /// `[B, N]`: softmax of the logits.
    probabilities: Tensor,
}

impl SampledWeights {
    fn is_adjusted(&self, row: usize, expert: usize) -> bool {
        match self.adjustment {
            Adjustment::SmallRandom => self.drawn.kept[row] as usize != expert,
            Adjustment::Zero => true,
            Adjustment::Large => false,
        }
    }
}

/// Writes the weights of the experts of a row: v over its sum, with v = `adjust(pair, e^o)`.
fn weigh(
    logits: &[Real],
    experts: &[u32],
    weights: &mut [Real],
    adjust: impl Fn(usize, Real) -> Real,
) {
    let logits = || experts.iter().map(|&expert| logits[expert as usize]);
    let max = logits().fold(Real::NEG_INFINITY, Real::max);
    let mut sum = 0.0;
    for (pair, (weight, logit)) in weights.iter_mut().zip(logits()).enumerate() {
        *weight = adjust(pair, (logit - max).exp());
        sum += *weight;
    }
    weights.iter_mut().for_each(|weight| *weight /= sum);
}

/// The adjusted v of a drawn expert with probability p; `share` is K-1 or, with [`Adjustment::Zero`], 1.
fn adjusted(v: Real, share: Real, p: Real) -> Real {
    v / (share * (p + EPSILON))
}

impl Operator for SampledWeights {
    fn name(&self) -> &'static str {
        "sampled_weights"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let assignments = &self.drawn.assignments;
        let counts = self.drawn.counts.as_ref().map(Tensor::as_slice);
        let share = match self.adjustment {
            Adjustment::SmallRandom => (self.k - 1) as Real,
            Adjustment::Zero | Adjustment::Large => 1.0,
        };
        let mut weights = Tensor::unspecified([assignments.pairs()]);
        let values = weights.as_mut_slice();
        for row in 0..assignments.rows() {
            let (logits, p) = (inputs[0].row(row), self.probabilities.row(row));
            let (experts, pairs) = (assignments.of_row(row), assignments.pairs_of(row));
            let first = pairs.start;
            weigh(logits, experts, &mut values[pairs], |pair, v| {
                let (expert, v) =
                    (experts[pair] as usize, v * counts.map_or(1.0, |c| c[first + pair]));
                if self.is_adjusted(row, expert) { adjusted(v, share, p[expert]) } else { v }
            });
        }
        weights
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let assignments = &self.drawn.assignments;
        let (weights, cotangent) = (at.output.as_slice(), at.cotangent.as_slice());
        let n = assignments.num_experts();
        let mut dx = Tensor::unspecified(*at.inputs[0].shape());
        for_row_blocks(dx.as_mut_slice(), n, |first, block| {
            for (r, dx) in block.chunks_exact_mut(n).enumerate() {
                let row = first + r;
                let p = self.probabilities.row(row);
                let pairs = || assignments.pairs_of(row).zip(assignments.of_row(row));
                let mean: Real = pairs().map(|(pair, _)| weights[pair] * cotangent[pair]).sum();
                // ln v has slope 1 in its own logit and, adjusted, -1 / (p + ε) in p; through the softmax that
                // leaves ε / (p + ε) for its own logit, and p times a common factor for every one.
                let mut shared = 0.0;
                for (pair, &e) in pairs() {
                    let e = e as usize;
                    if self.is_adjusted(row, e) {
                        let s = weights[pair] * (cotangent[pair] - mean);
                        shared += s * p[e] / (p[e] + EPSILON);
                    }
                }
                dx.iter_mut().zip(p).for_each(|(d, p)| *d = p * shared);
                for (pair, &e) in pairs() {
                    let e = e as usize;
                    let s = weights[pair] * (cotangent[pair] - mean);
                    let left =
                        if self.is_adjusted(row, e) { EPSILON / (p[e] + EPSILON) } else { 1.0 };
                    dx[e] += s * left;
                }
            }
        });
        gradients.add(0, dx);
    }
}

/// The weights of drawn experts, for K draws per row.
///
/// # Shapes
/// `logits` and their softmax `probabilities` `[B, N]` → `[pairs]`
pub(crate) fn sampled_weights<'t>(
    logits: Var<'t>,
    probabilities: Tensor,
    drawn: Drawn,
    adjustment: Adjustment,
    k: usize,
) -> Var<'t> {
    let weights = SampledWeights { drawn, adjustment, k, probabilities };
    logits.tape().apply(weights, &[logits])
}
