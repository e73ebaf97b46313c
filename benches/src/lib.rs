//! Shared by the criterion benchmarks and `peers`: random inputs and the MovieLens model.

pub mod data;
pub mod movielens;
