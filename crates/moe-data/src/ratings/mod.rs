//! Rating sets: how ratings become tasks, sampled negatives, and the cache of what was prepared.

pub(crate) mod cache;
pub(crate) mod negatives;
pub(crate) mod prepared;
pub(crate) mod rating_set;
pub(crate) mod ratings;
