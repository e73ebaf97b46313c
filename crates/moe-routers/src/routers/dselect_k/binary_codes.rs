use moe_core::kernel::for_row_blocks;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Buffer, Real, Tensor};

use crate::gate::smooth_step::SmoothStep;

/// K selectors that spell the binary code of an expert, most significant bit first: each bit is 1 with the smooth-step
/// of its logit (Hazimeh and others: DSelect-k, NeurIPS 2021). Codes from N on belong to no expert, and their weight is
/// lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BinaryCodes {
    pub(crate) selectors: usize,
    pub(crate) experts: usize,
    pub(crate) step: SmoothStep,
}

impl BinaryCodes {
    /// Bits of a code: the smallest number that gives every expert a code.
    pub(crate) fn bits(self) -> usize {
        self.experts.next_power_of_two().trailing_zeros() as usize
    }

    /// Number of prefixes of codes. They are in heap order: the empty one, then 0 and 1, then 00, 01, 10, 11, …
    fn prefixes(self) -> usize {
        2 * self.experts.next_power_of_two() - 1
    }

    /// Writes the probability of every prefix.
    fn spell(self, logits: &[Real], prefixes: &mut [Real]) {
        prefixes[0] = 1.0;
        for (bit, &logit) in logits.iter().enumerate() {
            let step = self.step.at(logit);
            for i in (1 << bit) - 1..(2 << bit) - 1 {
                prefixes[2 * i + 1] = prefixes[i] * step.complement;
                prefixes[2 * i + 2] = prefixes[i] * step.value;
            }
        }
    }

    /// Writes the weights that every selector gives every expert, for one row; `prefixes` is working memory for
    /// [`BinaryCodes::prefixes`] values.
    ///
    /// # Shapes
    /// `logits` `[K bits]`, `weights` `[K, N]`
    fn weights_of_row(self, logits: &[Real], prefixes: &mut [Real], weights: &mut [Real]) {
        let (bits, first) = (self.bits(), prefixes.len() / 2);
        for (s, weights) in weights.chunks_exact_mut(self.experts).enumerate() {
            self.spell(&logits[s * bits..(s + 1) * bits], prefixes);
            weights.copy_from_slice(&prefixes[first..first + self.experts]);
        }
    }

    /// The weight that every selector gives every expert.
    ///
    /// # Shapes
    /// `logits` `[B, K bits]`, selector by selector → `[B, K, N]`
    pub(crate) fn weights<'t>(self, logits: Var<'t>) -> Var<'t> {
        logits.tape().apply(Spell(self), &[logits])
    }
}

struct Spell(BinaryCodes);

impl Operator for Spell {
    fn name(&self) -> &'static str {
        "binary_codes"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let BinaryCodes { selectors, experts, .. } = self.0;
        let (logits, cols) = (inputs[0], selectors * experts);
        let mut out = Tensor::unspecified([logits.shape()[0], selectors, experts]);
        for_row_blocks(out.as_mut_slice(), cols, |first, block| {
            let mut prefixes = Buffer::unspecified(self.0.prefixes());
            for (r, out) in block.chunks_exact_mut(cols).enumerate() {
                self.0.weights_of_row(logits.row(first + r), &mut prefixes, out);
            }
        });
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let BinaryCodes { selectors, experts, step } = self.0;
        let (logits, bits, count) = (at.inputs[0], self.0.bits(), self.0.prefixes());
        let mut out = Tensor::zeros(*logits.shape());
        for_row_blocks(out.as_mut_slice(), selectors * bits, |row, block| {
            let mut steps = vec![step.at(0.0); bits];
            let mut prefixes = Buffer::unspecified(count);
            // For each prefix, the mean cotangent of the codes that start with it.
            let mut below = Buffer::filled(count, 0.0);
            for (s, out) in block.chunks_exact_mut(bits).enumerate() {
                let s = row * selectors + s;
                let logits = &logits.as_slice()[s * bits..(s + 1) * bits];
                steps.iter_mut().zip(logits).for_each(|(s, &logit)| *s = step.at(logit));
                self.0.spell(logits, &mut prefixes);
                let cotangent = &at.cotangent.as_slice()[s * experts..(s + 1) * experts];
                below[count / 2..count / 2 + experts].copy_from_slice(cotangent);
                for i in (0..count / 2).rev() {
                    let bit = (i + 1).ilog2() as usize;
                    let (zero, one) = (below[2 * i + 1], below[2 * i + 2]);
                    below[i] = steps[bit].complement * zero + steps[bit].value * one;
                    out[bit] += prefixes[i] * (one - zero) * steps[bit].slope;
                }
            }
        });
        gradients.add(0, out);
    }
}
