//! COMET: a sum of soft decision trees whose leaves are the experts.

pub(crate) mod comet;
pub(crate) mod leaf_softmax;
pub(crate) mod soft_trees;
pub(crate) mod tree_walk;
