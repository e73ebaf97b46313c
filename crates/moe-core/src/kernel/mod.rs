//! CPU kernels: the single entry point for matrix products, the row-block loop behind every other parallel kernel, sums that
//! lose few digits, and elementary functions over slices. The file `README.md` in this folder draws the loops of a product and
//! gives the reading order of the files.
//!
//! # Determinism
//! The inner dimension of a product is never cut among threads, row-wise work is cut into fixed blocks, and each output element
//! is one ascending chain of additions (of fixed blocks of them, where matrixmultiply computes the product), or a binary tree
//! whose shape depends on the number of terms alone. Hence the bits are equal for any thread count, and a row of a product does
//! not depend on the other rows.
//!
//! # Zeros
//! Zeros of a factor that has many, as ReLU and dropout leave them, are skipped where that takes less time. The bits stay the
//! same, except for the sign of a zero, and except where a zero meets a value that is not finite: the product of the two is then
//! either left out or NaN, which may depend on the number of threads.

pub(crate) mod count;
pub(crate) mod gemm;
pub(crate) mod geometry;
pub(crate) mod isa;
pub(crate) mod mat;
pub(crate) mod packed;
pub(crate) mod parallel;
pub(crate) mod product;
pub(crate) mod raw;
pub(crate) mod reduce;
pub(crate) mod rows;
pub mod vector_math;
mod zeros;

pub use count::multiply_adds;
pub use gemm::{Around, gemm, gemm_groups};
pub use isa::instruction_set;
pub use mat::Mat;
pub use packed::Packed;
pub use parallel::{for_pieces, for_row_blocks, for_row_blocks2, in_pool};
pub use product::RowFn;
pub use raw::wide::{Loops, prefetch, wide};
pub use reduce::{dot, sum, sum_axis, sum_in_chains};
pub use rows::add;
