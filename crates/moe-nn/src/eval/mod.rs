//! Evaluation of a model on a split.

pub(crate) mod evaluate;
