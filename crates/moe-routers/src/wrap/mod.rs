//! Wrappers around gates: a capacity per expert, and permuted expert indices.

pub(crate) mod capacity;
pub(crate) mod relabelled;
pub(crate) mod relabelling;
pub(crate) mod serve;
