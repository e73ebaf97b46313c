use moe_core::kernel::{for_row_blocks, for_row_blocks2};
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Buffer, Real, Tensor};

/// The rule by which leaves count, and by which their probability is kept from zero inside the logarithm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeafRule {
    /// A leaf whose probability is zero or below this has no weight.
    pub(crate) least: Real,
    /// Added to a probability before its logarithm is taken.
    pub(crate) epsilon: Real,
}

impl LeafRule {
    fn is_live(self, p: Real) -> bool {
        p > 0.0 && p >= self.least
    }

    /// Replaces the probabilities of a row's leaves by their weights; `live` and `memory` are working memory for one
    /// index and two values per leaf.
    fn weigh(self, logits: &[Real], row: &mut [Real], live: &mut [u32], memory: &mut [Real]) {
        // Of each live leaf: its index, its probability, and the exponential of its logit.
        let (shares, powers) = memory.split_at_mut(row.len());
        let mut count = 0;
        for (i, p) in row.iter().enumerate() {
            (live[count], shares[count]) = (i as u32, *p);
            count += usize::from(self.is_live(*p));
        }
        row.fill(0.0);
        let (live, shares, powers) = (&live[..count], &mut shares[..count], &mut powers[..count]);
        for (power, &i) in powers.iter_mut().zip(live) {
            *power = logits[i as usize];
        }
        let max = powers.iter().copied().fold(Real::NEG_INFINITY, Real::max);
        powers.iter_mut().for_each(|power| *power = (*power - max).exp());
        let mut sum = 0.0;
        for (share, power) in shares.iter_mut().zip(powers) {
            *share = (*share + self.epsilon) * *power;
            sum += *share;
        }
        for (share, &i) in shares.iter().zip(live) {
            row[i as usize] = share / sum;
        }
    }
}

/// The softmax of a + ln(p + ε) over the live leaves of all trees of a row, zero at the others. It is computed without
/// a logarithm, as (p + ε) exp(a) over its sum.
struct LeafSoftmax(LeafRule);

impl Operator for LeafSoftmax {
    fn name(&self) -> &'static str {
        "leaf_softmax"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let (logits, rule) = (inputs[0], self.0);
        // The probabilities at first, which are replaced by the weights.
        let mut weights = inputs[1].clone();
        let cols = logits.cols();
        for_row_blocks(weights.as_mut_slice(), cols, |first, block| {
            let mut live = Buffer::unspecified(cols);
            let mut memory = Buffer::unspecified(2 * cols);
            for (r, row) in block.chunks_exact_mut(cols).enumerate() {
                rule.weigh(logits.row(first + r), row, &mut live, &mut memory);
            }
        });
        weights
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let [logits, p] = [at.inputs[0], at.inputs[1]];
        let cols = logits.cols();
        let mut d_logits = Tensor::unspecified(*logits.shape());
        let mut d_p = Tensor::unspecified(*p.shape());
        let outputs = ((d_logits.as_mut_slice(), cols), (d_p.as_mut_slice(), cols));
        for_row_blocks2(outputs.0, outputs.1, |first, d_logits, d_p| {
            let rows = d_logits.chunks_exact_mut(cols).zip(d_p.chunks_exact_mut(cols));
            for (r, (d_logits, d_p)) in rows.enumerate() {
                let row = (first + r) * cols..(first + r + 1) * cols;
                let weights = &at.output.as_slice()[row.clone()];
                let cotangent = &at.cotangent.as_slice()[row.clone()];
                let mean: Real = weights.iter().zip(cotangent).map(|(w, d)| w * d).sum();
                for ((d_logit, w), d) in d_logits.iter_mut().zip(weights).zip(cotangent) {
                    *d_logit = w * (d - mean);
                }
                for ((d_p, d), p) in d_p.iter_mut().zip(d_logits).zip(&p.as_slice()[row]) {
                    *d_p = *d / (p + self.0.epsilon);
                }
            }
        });
        gradients.add(0, d_logits);
        gradients.add(1, d_p);
    }
}

/// One softmax over the leaves of all trees of a row, not one per tree.
///
/// # Shapes
/// `logits` `[B, KN]`, `probabilities` `[B, K, N]` → `[B, K, N]`
pub(crate) fn leaf_softmax<'t>(logits: Var<'t>, probabilities: Var<'t>, rule: LeafRule) -> Var<'t> {
    logits.tape().apply(LeafSoftmax(rule), &[logits, probabilities])
}
