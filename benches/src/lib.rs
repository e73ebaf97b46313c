//! What the criterion benchmarks and `peers` have in common: the numbers that they are given and the MovieLens model.

pub mod data;
pub mod movielens;
