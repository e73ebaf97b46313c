use moe_core::Tensor;

/// The probabilities with which rows reach the nodes of a gate's soft trees.
///
/// The 2N - 1 nodes of a tree are in heap order: 0 is the root, the children of node i are 2i + 1 on the left and
/// 2i + 2 on the right, nodes from N - 1 on are leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeWalk {
    /// `[B, K, 2N - 1]`: the probability with which a row reaches each node of each tree; exactly zero below a split
    /// that sends all of it the other way.
    pub nodes: Tensor,
    /// For each tree, the expert at each leaf, leaves from left to right.
    pub experts: Vec<Vec<u32>>,
}

impl TreeWalk {
    /// The nodes that are leaves, in a tree with this many, from left to right: those on the deepest level come first.
    pub(crate) fn leaf_nodes(leaves: usize) -> impl Iterator<Item = usize> + Clone {
        let nodes = 2 * leaves - 1;
        let deepest = (1 << nodes.ilog2()) - 1;
        (deepest..nodes).chain(leaves - 1..deepest)
    }

    /// Permutes the expert indices: expert e of tree t becomes `labels[t][e]`. A single vector of labels applies to all
    /// trees.
    ///
    /// # Panics
    /// If there is neither one vector nor one per tree, or a vector has no label for an expert.
    pub(crate) fn relabel(&mut self, labels: &[Vec<u32>]) {
        let trees = self.experts.len();
        let fits = labels.len() == 1 || labels.len() == trees;
        assert!(fits, "{} vectors of labels for {trees} trees", labels.len());
        for (tree, experts) in self.experts.iter_mut().enumerate() {
            let labels = &labels[tree % labels.len()];
            experts.iter_mut().for_each(|expert| *expert = labels[*expert as usize]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_counted_from_left_to_right() {
        let leaves = |n| TreeWalk::leaf_nodes(n).collect::<Vec<_>>();
        assert_eq!(leaves(1), [0]);
        assert_eq!(leaves(2), [1, 2]);
        // Node 1 has the children 3 and 4, node 2 is a leaf.
        assert_eq!(leaves(3), [3, 4, 2]);
        assert_eq!(leaves(4), [3, 4, 5, 6]);
        assert_eq!(leaves(5), [7, 8, 4, 5, 6]);
    }

    #[test]
    fn expert_indices_are_permuted() {
        let mut walk =
            TreeWalk { nodes: Tensor::zeros([0, 2, 5]), experts: vec![vec![0, 1, 2]; 2] };
        walk.relabel(&[vec![2, 0, 1]]);
        assert_eq!(walk.experts, [[2, 0, 1], [2, 0, 1]]);
        walk.relabel(&[vec![0, 1, 2], vec![1, 2, 0]]);
        assert_eq!(walk.experts, [[2, 0, 1], [0, 1, 2]]);
    }
}
