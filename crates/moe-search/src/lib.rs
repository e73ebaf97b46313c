//! Permutation local search.

mod entropy;
mod options;
mod permute;
mod registry;
mod relabel;
mod rounding;
mod schedule;
mod searched;
mod sinkhorn;
mod swap;

pub use entropy::permutation_entropy;
pub use options::SearchOptions;
pub use permute::{permute_parts, permute_routing};
pub use registry::with_search;
pub use relabel::{Relabelled, Share, relabel_routing};
pub use rounding::{NotFinite, round_permutation};
pub use schedule::{Learning, Schedule, SoftCall};
pub use searched::Searched;
pub use sinkhorn::{gumbel, sinkhorn};
pub use swap::{SwapResult, swap_search};
