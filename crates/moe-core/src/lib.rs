//! Tensors, a reverse-mode tape, CPU kernels and sparse expert dispatch: the base of routers, layers and data. This crate knows
//! no router, no layer and no data format.
//!
//! # Axis letters
//! Used in every shape of the workspace: **B** rows, **D** input width, **H** expert hidden width, **O** output
//! width, **N** experts, **K** experts per row, **G** gates (tasks), **S** slots (row-expert pairs that are
//! computed).
//!
//! # Map
//! * [`Tensor`], [`Parameter`]: values, and values that are trained.
//! * [`tape`]: differentiation; [`ops`]: the operators.
//! * [`dispatch`]: the experts that each row goes to, and the order in which experts are computed.
//! * [`kernel`]: matrix products, sums and parallel loops. [`random`]: the two generators.
//! * [`batch`]: the batches that data sources give to models. [`task`]: kinds of tasks, with their losses and metrics.
//! * [`testing`]: derivatives against finite differences.
//! * [`envelope`] and [`files`]: checked binary files, replaced as a whole or not at all; [`lock_file`]: one writer at a
//!   time; [`checksum`]: SHA-256.
//!
//! # Precision
//! [`Real`] is `f32`; the feature `f64` turns every number of the workspace into a double. A crate tests its own operators in double
//! precision with `cargo test --features moe-core/f64`.
//!
//! # Example
//! Two of three experts for each row, computed only for the rows that chose them:
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
mod inputs;
pub mod kernel;
pub mod lock_file;
mod names;
pub mod ops;
mod parameter;
mod pass;
pub mod random;
mod real;
pub mod tape;
pub mod task;
mod tensor;
pub mod testing;

pub use buffer::{Buffer, Pooled};
pub use names::{did_you_mean, nearest_name};
pub use ndarray;
pub use ndarray_rand::{rand, rand_distr};
pub use parameter::{
    Parameter, ParameterId, StateMut, StateRef, Visit, VisitMut, named, named_mut,
};
pub use pass::{Mode, Pass, SlotRows, TokenRows};
pub use rand_chacha;
pub use real::Real;
pub use smallvec;
pub use tensor::{Shape, Tensor};
