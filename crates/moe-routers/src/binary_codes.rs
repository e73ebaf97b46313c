use moe_core::kernel::for_row_blocks;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Buffer, Real, Tensor};

use crate::{SmoothStep, Step};

/// K selectors that spell the binary code of an expert, most significant bit first: each bit is 1 with the smooth-step
/// of its logit (Hazimeh and others: DSelect-k, NeurIPS 2021). Codes from N on belong to no expert; their weight is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BinaryCodes {
    pub(crate) selectors: usize,
    pub(crate) experts: usize,
    pub(crate) step: SmoothStep,
}

impl BinaryCodes {
    /// Digits of a code: the smallest number whose codes suffice.
    pub(crate) fn bits(self) -> usize {
        self.experts.next_power_of_two().trailing_zeros() as usize
    }

    /// Numbers of the prefixes of codes, in heap order: the empty one, then 0 and 1, then 00, 01, 10, 11, …
    fn prefixes(self) -> usize {
        2 * self.experts.next_power_of_two() - 1
    }

    /// Fills in the steps of all bits and the probability of every prefix.
    fn spell(self, logits: &[Real], steps: &mut [Step], prefixes: &mut [Real]) {
        for (step, &logit) in steps.iter_mut().zip(logits) {
            *step = self.step.at(logit);
        }
        prefixes[0] = 1.0;
        for i in 0..prefixes.len() / 2 {
            let step = steps[(i + 1).ilog2() as usize];
            prefixes[2 * i + 1] = prefixes[i] * step.complement;
            prefixes[2 * i + 2] = prefixes[i] * step.value;
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
        let BinaryCodes { selectors, experts, step } = self.0;
        let (logits, bits, count) = (inputs[0], self.0.bits(), self.0.prefixes());
        let mut out = Tensor::unspecified([logits.shape()[0], selectors, experts]);
        for_row_blocks(out.as_mut_slice(), selectors * experts, |row, block| {
            let mut steps = vec![step.at(0.0); bits];
            let mut prefixes = Buffer::unspecified(count);
            for (s, out) in block.chunks_exact_mut(experts).enumerate() {
                let at = (row * selectors + s) * bits;
                self.0.spell(&logits.as_slice()[at..at + bits], &mut steps, &mut prefixes);
                out.copy_from_slice(&prefixes[count / 2..count / 2 + experts]);
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
            // For each prefix, the mean of the cotangents of the codes that it begins.
            let mut below = Buffer::filled(count, 0.0);
            for (s, out) in block.chunks_exact_mut(bits).enumerate() {
                let s = row * selectors + s;
                let logits = &logits.as_slice()[s * bits..(s + 1) * bits];
                self.0.spell(logits, &mut steps, &mut prefixes);
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
