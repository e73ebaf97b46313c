//! The built-in operators, each with its backward rule beside its forward rule.
//!
//! They are methods of [`Var`](crate::tape::Var). One file per operator or small family; every one is checked
//! against central differences in `tests/gradients.rs`. Matrix operators see a tensor of any rank as a matrix
//! whose last axis is its columns ([`Shape::as_matrix`](crate::Shape::as_matrix)). What inference needs of them is there
//! without a tape too, in functions that the operators themselves call: [`affine`], [`softmax`](fn@softmax),
//! [`grouped_affine`] and so on, into memory of the caller.

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
mod weight;

pub use linear::{affine, affine_then};
pub use rectifier::relu;
pub use softmax::softmax;
pub use sparse::{combine, gather_slots, grouped_affine};
pub use weight::Weight;
pub(crate) use weight::matrix_shape;
