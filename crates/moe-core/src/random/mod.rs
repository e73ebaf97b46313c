//! The two random generators of the workspace.
//!
//! * [`Philox`]: counter-based, for draws that belong to a row or an element (router sampling, noise, dropout). A draw is a
//!   function of (seed, purpose, step) and of a counter that names the row and the expert, never of a batch position, slot or
//!   thread: any batching sees the same draws.
//! * [`chacha`]: ChaCha8 for shuffles, splits and initialisation, one named stream each.
//!
//! The values that they draw are part of the crate's behaviour; `value_stability` tests pin them.

pub(crate) mod dropout_mask;
pub(crate) mod generator;
pub(crate) mod initial;
pub(crate) mod normal;
pub(crate) mod philox;
mod purpose;

pub use dropout_mask::{DrawRows, DropoutDraws, keep_mask};
pub use generator::{chacha, permutation};
pub use initial::{glorot_uniform, uniform};
pub use normal::{normal_quantile, standard_normals};
pub use philox::{Philox, unit};
