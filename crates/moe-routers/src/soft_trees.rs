use moe_core::kernel::for_row_blocks;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Real, Tensor};

use crate::SmoothStep;

/// K soft decision trees over N leaves each: at every split a row goes left with the smooth-step of the split's logit
/// and right with the rest (COMET, section 3.1; Hazimeh and others, ICML 2020).
///
/// The N - 1 splits stand in heap order: the children of node i are 2i + 1 and 2i + 2, nodes from N - 1 on are leaves.
/// Leaves are numbered from left to right, so those on the deepest level come first. N need not be a power of two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SoftTrees {
    pub(crate) trees: usize,
    pub(crate) leaves: usize,
    pub(crate) step: SmoothStep,
}

impl SoftTrees {
    /// Node of leaf 0: the first of the deepest level.
    fn first_leaf(self) -> usize {
        (1 << (2 * self.leaves - 1).ilog2()) - 1
    }

    /// Fills in the probability of every node: a zero once a split above sends all of the row elsewhere.
    fn reach(self, logits: &[Real], nodes: &mut [Real]) {
        nodes[0] = 1.0;
        for (i, &logit) in logits.iter().enumerate() {
            let step = self.step.at(logit);
            nodes[2 * i + 1] = nodes[i] * step.value;
            nodes[2 * i + 2] = nodes[i] * step.complement;
        }
    }
}

struct LeafProbabilities(SoftTrees);

impl Operator for LeafProbabilities {
    fn name(&self) -> &'static str {
        "leaf_probabilities"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let SoftTrees { trees, leaves, .. } = self.0;
        let (logits, first) = (inputs[0], self.0.first_leaf());
        let mut out = Tensor::unspecified([logits.shape()[0], trees, leaves]);
        for_row_blocks(out.as_mut_slice(), trees * leaves, |row, block| {
            let mut nodes = vec![0.0; 2 * leaves - 1];
            for (tree, out) in block.chunks_exact_mut(leaves).enumerate() {
                let at = (row * trees + tree) * (leaves - 1);
                self.0.reach(&logits.as_slice()[at..at + leaves - 1], &mut nodes);
                let (left, right) = out.split_at_mut(nodes.len() - first);
                left.copy_from_slice(&nodes[first..]);
                right.copy_from_slice(&nodes[leaves - 1..first]);
            }
        });
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let SoftTrees { trees, leaves, step } = self.0;
        let (logits, first) = (at.inputs[0], self.0.first_leaf());
        let cotangent = at.cotangent.as_slice();
        let mut out = Tensor::unspecified(*logits.shape());
        let splits = leaves - 1;
        for_row_blocks(out.as_mut_slice(), trees * splits, |row, block| {
            let mut nodes = vec![0.0; 2 * leaves - 1];
            // For each node, the mean of the cotangents of the leaves below it.
            let mut below = vec![0.0; 2 * leaves - 1];
            for (tree, out) in block.chunks_exact_mut(splits).enumerate() {
                let tree = row * trees + tree;
                let logits = &logits.as_slice()[tree * splits..(tree + 1) * splits];
                self.0.reach(logits, &mut nodes);
                let cotangent = &cotangent[tree * leaves..(tree + 1) * leaves];
                let (left, right) = cotangent.split_at(nodes.len() - first);
                below[first..].copy_from_slice(left);
                below[splits..first].copy_from_slice(right);
                for i in (0..splits).rev() {
                    let at = step.at(logits[i]);
                    let (left, right) = (below[2 * i + 1], below[2 * i + 2]);
                    below[i] = at.value * left + at.complement * right;
                    out[i] = nodes[i] * (left - right) * at.slope;
                }
            }
        });
        gradients.add(0, out);
    }
}

impl SoftTrees {
    /// The probability of every leaf.
    ///
    /// # Shapes
    /// `logits` `[B, K(N-1)]`, tree by tree → `[B, K, N]`
    pub(crate) fn leaf_probabilities<'t>(self, logits: Var<'t>) -> Var<'t> {
        logits.tape().apply(LeafProbabilities(self), &[logits])
    }
}
