//! Tensors, a reverse-mode tape, CPU kernels and sparse expert dispatch: the ground that routers,
//! layers and data stand on. This crate knows no router, no layer and no data format.
#![doc = ""]

pub mod batch;
mod parameter;
pub mod random;
mod real;
mod tensor;

pub use ndarray;
pub use ndarray_rand::{rand, rand_distr};
pub use parameter::{
    Parameter, ParameterId, StateMut, StateRef, Visit, VisitMut, named, named_mut,
};
pub use rand_chacha;
pub use real::Real;
pub use tensor::{Shape, Tensor};
