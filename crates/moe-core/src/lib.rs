//! Tensors, a reverse-mode tape, CPU kernels and sparse expert dispatch: the ground that routers, layers and
//! data stand on. This crate knows no router, no layer and no data format.
//!
//! # Axis letters
//! Used in every shape of the workspace: **B** rows, **D** input width, **H** expert hidden width, **O** output
//! width, **N** experts, **K** experts per row, **G** gates (tasks), **S** slots (row-expert pairs that are
//! computed).
//!
//! # Map
//! * [`Tensor`], [`Parameter`]: values, and values that learn.
//! * [`tape`]: differentiation; [`ops`]: the operators.
//! * [`dispatch`]: which experts a row goes to, and in which order experts are computed.
//! * [`kernel`]: the GEMM door and parallel loops. [`random`]: the two generators.
//! * [`batch`]: what data hands to models. [`testing`]: derivatives against finite differences.
//! * [`envelope`] and [`files`]: binary files that are whole or not there; [`checksum`]: SHA-256.
//!
//! # Precision
//! [`Real`] is `f32`; the feature `f64` turns every number of the workspace into a double. A crate that tests
//! its own operators adds `moe-core = { version = "…", features = ["f64"] }` to its test run:
//! `cargo test --features moe-core/f64`.
//!
//! # Example
//! Two of three experts for each row, computed only where they were asked for:
//! ```
//! use std::sync::Arc;
//! use moe_core::dispatch::{Assignments, ExpertPlan};
//! use moe_core::tape::Tape;
//! use moe_core::Tensor;
//!
//! let tape = Tape::new();
//! let x = tape.constant(Tensor::new([2, 2], vec![1.0, 2.0, 3.0, 4.0]));
//! let weight = tape.variable(Tensor::full([3, 2, 1], 0.5)); // [N, D, O]
//! let bias = tape.variable(Tensor::zeros([3, 1]));
//!
//! let chosen = Assignments::fixed(3, 2, vec![0, 2, 1, 2]);
//! let logits = tape.variable(Tensor::zeros([4]));
//! let gate = logits.csr_softmax(&chosen);
//!
//! let plan = Arc::new(ExpertPlan::new(&[&chosen]));
//! let experts = x.gather_slots(&plan).grouped_linear(weight, bias, &plan);
//! let y = experts.combine(gate, &chosen, &plan, 0);
//! assert_eq!(y.value().as_slice(), [1.5, 3.5]);
//!
//! let gradients = tape.backward(y.sum());
//! assert!(gradients.wrt(weight).is_some());
//! ```

pub mod batch;
mod buffer;
pub mod checksum;
pub mod dispatch;
pub mod envelope;
pub mod files;
pub mod kernel;
mod names;
pub mod ops;
mod parameter;
mod pass;
pub mod random;
mod real;
pub mod tape;
mod tensor;
pub mod testing;

pub use buffer::{Buffer, Pooled};
pub use names::{did_you_mean, nearest_name};
pub use ndarray;
pub use ndarray_rand::{rand, rand_distr};
pub use parameter::{
    Parameter, ParameterId, StateMut, StateRef, Visit, VisitMut, named, named_mut,
};
pub use pass::{Mode, Pass, SlotRows};
pub use rand_chacha;
pub use real::Real;
pub use tensor::{Shape, Tensor};
