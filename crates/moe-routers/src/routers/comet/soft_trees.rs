use moe_core::kernel::for_row_blocks;
use moe_core::tape::{Backward, InputGradients, Operator, Var};
use moe_core::{Buffer, Real, Tensor};

use crate::gate::smooth_step::SmoothStep;

/// K soft decision trees over N leaves each: at every split a row goes left with the smooth-step of the split's logit
/// and right with the rest (Hazimeh and others: The tree ensemble layer, ICML 2020; the gate of COMET, KDD 2023).
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
    /// The probability of every leaf.
    ///
    /// # Shapes
    /// `logits` `[B, K(N-1)]`, tree by tree → `[B, K, N]`
    pub(crate) fn leaf_probabilities<'t>(self, logits: Var<'t>) -> Var<'t> {
        logits.tape().apply(LeafProbabilities(self), &[logits])
    }

    /// Fills in the leaf probabilities of one tree on one row; `nodes` is working memory for 2N - 1 numbers. A subtree
    /// that the row does not reach is not walked.
    pub(crate) fn reach(self, logits: &[Real], nodes: &mut [Real], leaves: &mut [Real]) {
        self.walk(logits, nodes);
        self.copy_leaves(nodes, leaves);
    }

    /// Fills in the probabilities of all 2N - 1 nodes of one tree on one row.
    pub(crate) fn walk(self, logits: &[Real], nodes: &mut [Real]) {
        nodes[0] = 1.0;
        for (i, &logit) in logits.iter().enumerate() {
            let p = nodes[i];
            let children = &mut nodes[2 * i + 1..2 * i + 3];
            if p == 0.0 {
                children.fill(0.0);
            } else {
                let at = self.step.at(logit);
                children.copy_from_slice(&[p * at.value, p * at.complement]);
            }
        }
    }

    /// The leaves among the nodes, from left to right.
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

/// One tree on one row.
struct Walk {
    /// Of each split, the share that goes left.
    left: Buffer<Real>,
    /// The share that goes right.
    right: Buffer<Real>,
    /// The derivative of the left share.
    slope: Buffer<Real>,
    /// Probabilities of all nodes.
    nodes: Buffer<Real>,
}

impl Walk {
    fn new(leaves: usize) -> Self {
        let splits = || Buffer::unspecified(leaves - 1);
        let nodes = Buffer::unspecified(2 * leaves - 1);
        Walk { left: splits(), right: splits(), slope: splits(), nodes }
    }

    /// Fills in the steps of all splits.
    fn step(&mut self, step: SmoothStep, logits: &[Real]) {
        let shares = self.left.iter_mut().zip(self.right.iter_mut());
        for (((left, right), slope), &logit) in shares.zip(self.slope.iter_mut()).zip(logits) {
            let at = step.at(logit);
            (*left, *right, *slope) = (at.value, at.complement, at.slope);
        }
    }

    /// Fills in the probability of every node: zero once a split above sends all of the row elsewhere.
    fn reach(&mut self) {
        self.nodes[0] = 1.0;
        for (i, (left, right)) in self.left.iter().zip(self.right.iter()).enumerate() {
            let p = self.nodes[i];
            let children = &mut self.nodes[2 * i + 1..2 * i + 3];
            children[0] = p * left;
            children[1] = p * right;
        }
    }

    /// Whether every split is saturated.
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
            let mut walk = Walk::new(leaves);
            // For each node, the mean of the cotangents of the leaves below it.
            let mut below = Buffer::<Real>::unspecified(2 * leaves - 1);
            for (tree, out) in block.chunks_exact_mut(splits).enumerate() {
                let tree = row * trees + tree;
                walk.step(step, &logits.as_slice()[tree * splits..(tree + 1) * splits]);
                if walk.is_flat() {
                    out.fill(0.0);
                    continue;
                }
                walk.reach();
                let Walk { left, right, slope, nodes } = &walk;
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
