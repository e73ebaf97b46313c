//! The built-in operators, each with its backward rule beside its forward rule.
//!
//! They are methods of [`Var`](crate::tape::Var). One file per operator or small family; every one is checked
//! against central differences in `tests/gradients.rs`. Matrix operators see a tensor of any rank as a matrix
//! whose last axis is its columns ([`Shape::as_matrix`](crate::Shape::as_matrix)). [`affine`] and [`softmax`](fn@softmax)
//! are there without a tape too, into memory of the caller.

mod axis;
mod broadcast;
mod concat;
mod dropout;
mod elementwise;
mod gather_rows;
mod index_select;
mod layer_norm;
mod linear;
mod log_softmax;
mod losses;
mod matmul;
mod rectifier;
mod reduce;
mod reshape;
mod slice;
mod softmax;
mod sparse;
mod transpose;

pub use linear::affine;
pub use softmax::softmax;
