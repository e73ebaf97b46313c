//! The built-in operators, each with its backward rule beside its forward rule.
//!
//! They are methods of [`Var`](crate::tape::Var), one file per operator or small family, and each is checked against central
//! differences in `tests/gradients.rs`. Matrix operators see a tensor of any rank as a matrix whose last axis is its columns
//! ([`Shape::as_matrix`](crate::Shape::as_matrix)). Those that take packed weights, or that serve outside of a pass, are also
//! functions without a tape, which the operators call themselves and which write to memory of the caller: [`affine_then`],
//! [`softmax`](fn@softmax), [`grouped_affine`] and so on.

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
pub use matmul::product;
pub use rectifier::relu;
pub use softmax::softmax;
pub use sparse::{gather_slots, grouped_affine};
pub use weight::Weight;
