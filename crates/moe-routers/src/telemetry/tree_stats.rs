use moe_core::Real;
use serde::{Deserialize, Serialize};

use crate::routers::comet::tree_walk::TreeWalk;

/// Statistics of the splits of a gate's trees, accumulated over batches.
#[derive(Clone, Debug, Default)]
pub struct TreeStats {
    rows: u64,
    /// For each tree, the expert at each leaf.
    experts: Vec<Vec<u32>>,
    /// Tree by tree, in heap order.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// Number of rows that reach the node with nonzero probability.
    reached: u64,
    /// Sum of their probabilities.
    probability: f64,
    /// For a split: sum over its rows of the fraction that goes right.
    right: f64,
    /// For a split: number of rows that go one way only.
    decided: u64,
}

/// Summary of a tree of [`TreeStats`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TreeSummary {
    /// Splits in heap order: level by level, each from left to right.
    pub splits: Vec<SplitSummary>,
    /// Leaves from left to right.
    pub leaves: Vec<LeafSummary>,
}

/// Summary of a split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitSummary {
    /// Level in the tree; 0 for the root.
    pub level: u32,
    /// Fraction of the rows that reach it.
    pub reached: f64,
    /// Mean over these rows of the probability of going right; `None` if there are none.
    pub right: Option<f64>,
    /// Fraction of these rows that go one way only; `None` if there are none.
    pub decided: Option<f64>,
}

/// Summary of a leaf.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LeafSummary {
    /// Index of the expert at the leaf.
    pub expert: u32,
    /// Fraction of the rows that reach it.
    pub reached: f64,
    /// Mean over all rows of the probability of reaching it. These means sum to 1 over the leaves of a tree.
    pub share: f64,
}

impl TreeStats {
    /// Adds a batch of a gate.
    ///
    /// # Panics
    /// If the number of trees or leaves differs from that of earlier batches.
    pub fn add(&mut self, walk: &TreeWalk) {
        let [rows, trees, nodes] = walk.nodes.shape()[..] else {
            panic!("nodes are [B, K, 2N - 1], not {:?}", walk.nodes.shape())
        };
        if self.nodes.is_empty() {
            self.nodes = vec![Node::default(); trees * nodes];
        }
        assert_eq!(self.nodes.len(), trees * nodes, "trees of another gate");
        self.experts.clone_from(&walk.experts);
        self.rows += rows as u64;
        for row in walk.nodes.as_slice().chunks_exact(trees * nodes) {
            let trees = self.nodes.chunks_exact_mut(nodes).zip(row.chunks_exact(nodes));
            trees.for_each(|(sums, probabilities)| add_row(sums, probabilities));
        }
    }

    /// Summary of each tree; empty before the first batch.
    pub fn summary(&self) -> Vec<TreeSummary> {
        let leaves = self.experts.first().map_or(1, Vec::len);
        let trees = self.nodes.chunks_exact(2 * leaves - 1).zip(&self.experts);
        let rows = self.rows.max(1) as f64;
        let split = |(i, node): (usize, &Node)| {
            let of_rows = |sum: f64| (node.reached > 0).then(|| sum / node.reached as f64);
            SplitSummary {
                level: (i + 1).ilog2(),
                reached: node.reached as f64 / rows,
                right: of_rows(node.right),
                decided: of_rows(node.decided as f64),
            }
        };
        let summary = |(nodes, experts): (&[Node], &Vec<u32>)| TreeSummary {
            splits: nodes[..leaves - 1].iter().enumerate().map(split).collect(),
            leaves: (TreeWalk::leaf_nodes(leaves).zip(experts))
                .map(|(node, &expert)| LeafSummary {
                    expert,
                    reached: nodes[node].reached as f64 / rows,
                    share: nodes[node].probability / rows,
                })
                .collect(),
        };
        trees.map(summary).collect()
    }
}

/// Adds one row of one tree.
fn add_row(sums: &mut [Node], probabilities: &[Real]) {
    let splits = probabilities.len() / 2;
    for (i, (node, &p)) in sums.iter_mut().zip(probabilities).enumerate() {
        if p == 0.0 {
            continue;
        }
        node.reached += 1;
        node.probability += f64::from(p);
        if i < splits {
            let [left, right] = [1, 2].map(|side| f64::from(probabilities[2 * i + side]));
            // Both are zero if they underflow.
            node.right += right / (left + right).max(f64::MIN_POSITIVE);
            node.decided += u64::from(left == 0.0 || right == 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moe_core::Tensor;

    #[test]
    fn splits_and_leaves_are_told_apart() {
        // Three leaves: the root, its left child, a leaf on the right, two leaves below the left child.
        let rows = vec![
            vec![1.0, 1.0, 0.0, 0.25, 0.75],
            vec![1.0, 0.5, 0.5, 0.5, 0.0],
            vec![1.0, 0.0, 1.0, 0.0, 0.0],
        ];
        let mut stats = TreeStats::default();
        for row in rows {
            let nodes = Tensor::new([1, 1, 5], row);
            stats.add(&TreeWalk { nodes, experts: vec![vec![2, 0, 1]] });
        }
        let [tree] = &stats.summary()[..] else { panic!("one tree") };
        let [root, left] = &tree.splits[..] else { panic!("two splits") };
        assert_eq!((root.level, root.reached, root.right), (0, 1.0, Some(0.5)));
        assert_eq!(root.decided, Some(2.0 / 3.0));
        assert_eq!((left.level, left.right, left.decided), (1, Some(0.375), Some(0.5)));
        assert_eq!(left.reached, 2.0 / 3.0);
        let leaves: Vec<_> = tree.leaves.iter().map(|l| (l.expert, l.reached, l.share)).collect();
        assert_eq!(leaves, [(2, 2.0 / 3.0, 0.25), (0, 1.0 / 3.0, 0.25), (1, 2.0 / 3.0, 0.5)]);
    }

    #[test]
    fn a_split_that_no_row_reaches_has_no_means() {
        let mut stats = TreeStats::default();
        assert!(stats.summary().is_empty());
        let nodes = Tensor::new([1, 1, 5], vec![1.0, 0.0, 1.0, 0.0, 0.0]);
        stats.add(&TreeWalk { nodes, experts: vec![vec![0, 1, 2]] });
        let split = &stats.summary()[0].splits[1];
        assert_eq!((split.reached, split.right, split.decided), (0.0, None, None));
    }
}
