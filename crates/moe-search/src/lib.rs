//! Permutation local search.

mod entropy;
mod rounding;
mod schedule;
mod sinkhorn;

pub use entropy::permutation_entropy;
pub use rounding::{NotFinite, round_permutation};
pub use schedule::{Learning, Schedule, SoftCall};
pub use sinkhorn::{gumbel, sinkhorn};
