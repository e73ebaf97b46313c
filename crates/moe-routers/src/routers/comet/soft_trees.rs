use moe_core::kernel::for_row_blocks;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Buffer, Real, Tensor};

use crate::gate::smooth_step::SmoothStep;

/// K soft decision trees over N leaves each: at every split a row goes left with the smooth-step of the split's logit
/// and right with the rest (Hazimeh and others: The tree ensemble layer, ICML 2020; the gate of COMET, KDD 2023).
///
/// The N - 1 splits are in heap order: the children of node i are 2i + 1 and 2i + 2, nodes from N - 1 on are leaves.
/// Leaves are numbered from left to right, so those on the deepest level come first. N need not be a power of two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SoftTrees {
    pub(crate) trees: usize,
    pub(crate) leaves: usize,
    pub(crate) step: SmoothStep,
}

impl SoftTrees {
    /// The probability of every leaf.
    ///
    /// # Shapes
    /// `logits` `[B, K(N-1)]`, tree by tree → `[B, K, N]`
    pub(crate) fn leaf_probabilities<'t>(self, logits: Var<'t>) -> Var<'t> {
        logits.tape().apply(LeafProbabilities(self), &[logits])
    }

    /// Writes the leaf probabilities of one tree for one row; `nodes` is working memory for 2N - 1 values.
    fn reach(self, logits: &[Real], nodes: &mut [Real], leaves: &mut [Real]) {
        self.walk(logits, nodes);
        self.copy_leaves(nodes, leaves);
    }

    /// Writes the probabilities of all 2N - 1 nodes of one tree for one row.
    pub(crate) fn walk(self, logits: &[Real], nodes: &mut [Real]) {
        walk(nodes, |split| {
            let at = self.step.at(logits[split]);
            (at.value, at.complement)
        });
    }

    /// Copies the leaves among the nodes, from left to right.
    fn copy_leaves(self, nodes: &[Real], leaves: &mut [Real]) {
        let (first, splits) = (self.first_leaf(), self.leaves - 1);
        let (deepest, others) = leaves.split_at_mut(nodes.len() - first);
        deepest.copy_from_slice(&nodes[first..]);
        others.copy_from_slice(&nodes[splits..first]);
    }

    /// Node of leaf 0: the first of the deepest level.
    fn first_leaf(self) -> usize {
        (1 << (2 * self.leaves - 1).ilog2()) - 1
    }
}

/// Writes the probability of every node of a tree, where `shares(split)` gives the fractions of its rows that go left
/// and right. Nodes below one that the row does not reach have zeros, and their shares are not computed.
fn walk(nodes: &mut [Real], shares: impl Fn(usize) -> (Real, Real)) {
    nodes[0] = 1.0;
    for split in 0..nodes.len() / 2 {
        let p = nodes[split];
        let (left, right) = if p == 0.0 { (0.0, 0.0) } else { shares(split) };
        nodes[2 * split + 1] = p * left;
        nodes[2 * split + 2] = p * right;
    }
}

/// The smooth-steps of all splits of one tree for one row.
struct Steps {
    /// Fraction that goes left.
    left: Buffer<Real>,
    /// Fraction that goes right.
    right: Buffer<Real>,
    /// Derivative of the left fraction.
    slope: Buffer<Real>,
}

impl Steps {
    fn new(splits: usize) -> Self {
        let splits = || Buffer::unspecified(splits);
        Steps { left: splits(), right: splits(), slope: splits() }
    }

    fn fill(&mut self, step: SmoothStep, logits: &[Real]) {
        let shares = self.left.iter_mut().zip(self.right.iter_mut());
        for (((left, right), slope), &logit) in shares.zip(self.slope.iter_mut()).zip(logits) {
            let at = step.at(logit);
            (*left, *right, *slope) = (at.value, at.complement, at.slope);
        }
    }

    /// Returns whether every split is saturated.
    fn is_flat(&self) -> bool {
        self.slope.iter().all(|&slope| slope == 0.0)
    }
}

struct LeafProbabilities(SoftTrees);

impl Operator for LeafProbabilities {
    fn name(&self) -> &'static str {
        "leaf_probabilities"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let SoftTrees { trees, leaves, .. } = self.0;
        let (logits, splits) = (inputs[0], leaves - 1);
        let mut out = Tensor::unspecified([logits.shape()[0], trees, leaves]);
        for_row_blocks(out.as_mut_slice(), trees * leaves, |row, block| {
            let mut nodes = Buffer::unspecified(2 * leaves - 1);
            for (tree, out) in block.chunks_exact_mut(leaves).enumerate() {
                let tree = row * trees + tree;
                let logits = &logits.as_slice()[tree * splits..(tree + 1) * splits];
                self.0.reach(logits, &mut nodes, out);
            }
        });
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let SoftTrees { trees, leaves, step } = self.0;
        let (logits, splits, first) = (at.inputs[0], leaves - 1, self.0.first_leaf());
        let cotangent = at.cotangent.as_slice();
        let mut out = Tensor::unspecified(*logits.shape());
        for_row_blocks(out.as_mut_slice(), trees * splits, |row, block| {
            let mut steps = Steps::new(splits);
            let mut nodes = Buffer::unspecified(2 * leaves - 1);
            // For each node, the mean cotangent of the leaves below it.
            let mut below = Buffer::<Real>::unspecified(2 * leaves - 1);
            for (tree, out) in block.chunks_exact_mut(splits).enumerate() {
                let tree = row * trees + tree;
                steps.fill(step, &logits.as_slice()[tree * splits..(tree + 1) * splits]);
                if steps.is_flat() {
                    out.fill(0.0);
                    continue;
                }
                let Steps { left, right, slope } = &steps;
                walk(&mut nodes, |split| (left[split], right[split]));
                let cotangent = &cotangent[tree * leaves..(tree + 1) * leaves];
                let (deepest, others) = cotangent.split_at(nodes.len() - first);
                below[first..].copy_from_slice(deepest);
                below[splits..first].copy_from_slice(others);
                for i in (0..splits).rev() {
                    let (to_left, to_right) = (below[2 * i + 1], below[2 * i + 2]);
                    below[i] = left[i] * to_left + right[i] * to_right;
                    out[i] = nodes[i] * (to_left - to_right) * slope[i];
                }
            }
        });
        gradients.add(0, out);
    }
}
