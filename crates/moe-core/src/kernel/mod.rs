//! CPU kernels: the one door that every matrix product goes through, the row-block loop that every other parallel kernel
//! is written with, sums that lose few digits, and elementary functions over slices.
//!
//! # Determinism
//! The inner dimension of a product is never cut among threads, row-wise work is cut into fixed blocks, and each
//! output element is one ascending chain of additions (of fixed blocks of them, where matrixmultiply computes the product),
//! or a binary tree whose shape depends on the number of terms alone. Hence equal bits for any thread count, and a row
//! of a product does not depend on the other rows.
//!
//! # Zeros
//! Zeros of a factor that has many, as ReLU and dropout leave them, are passed over where that takes less time. The bits are
//! the same, but for the sign of a zero, and where a zero meets a number that is not finite: the product of both is then
//! either left out or not a number, which may depend on the number of threads.

mod gemm;
mod mat;
mod packed;
mod parallel;
mod raw;
mod reduce;
mod rows;
pub mod vector_math;
mod zeros;

pub use gemm::{Around, RowFn, gemm, gemm_groups, instruction_set, multiply_adds};
pub use mat::Mat;
pub(crate) use packed::Packed;
pub use parallel::{
    PIECE, ROW_BLOCK, both, for_each2, for_pieces, for_row_blocks, for_row_blocks2, in_pool,
};
pub use raw::{Loops, Start, prefetch, wide};
pub use reduce::{dot, max, max_axis, sum, sum_axis};
pub use rows::{add, add_scaled, set_scaled};
