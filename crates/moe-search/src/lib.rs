//! Permutation local search around the gates of mixtures of experts: the second contribution of COMET (Ibrahim and
//! others, KDD 2023), for any [`GateSet`](moe_routers::GateSet).
//!
//! Gates of trees and binary codes choose experts by their index, so the order of the experts matters. [`Searched`]
//! wraps gates and learns a permutation of their experts with them: at first a soft one, by the [`sinkhorn`] operator
//! at a falling temperature ([`Schedule`]), which is then rounded ([`round_permutation`]) and fixed. [`with_search`]
//! adds R+ for every router R of a registry. [`Searched::fold`] returns plain gates with the same outputs.
//! [`swap_search`] instead searches for a permutation by swaps. Axis letters are those of [`moe_core`]; **M** is the
//! number of permutations ([`Share`](moe_routers::Share)).
//!
//! ```
//! use moe_core::tape::Tape;
//! use moe_core::{Mode, Pass, Tensor};
//! use moe_routers::{GateSet, GateSpec, Gates, TopK};
//! use moe_search::{Learning, SearchOptions, Searched};
//!
//! let spec = GateSpec { inputs: 3, experts: 4, k: 1, seed: 1, gate: 0 };
//! let gates = Gates::new(vec![Box::new(TopK::new(&spec, 0.0))]);
//! // Learnt while the index of the step, from 1, is below 3.
//! let options = SearchOptions { learning: Learning::Steps(3), ..SearchOptions::default() };
//! let mut searched = Searched::new(Box::new(gates), options, 1);
//!
//! let row_ids = [0, 1];
//! let x = Tensor::new([2, 3], vec![1.0, 0.0, 2.0, -1.0, 1.0, 0.0]);
//! let experts_per_row = |searched: &Searched, mode| {
//!     let tape = Tape::new();
//!     let pass =
//!         Pass { mode, seed: 1, step: 0, epoch: 0, row_ids: &row_ids, keys: &row_ids, groups: None, batch_rows: None, experts: None };
//!     let routings = searched.route(&pass, tape.constant(x.clone()));
//!     (routings[0].assignments.pairs() as f64 / 2.0, vec![routings.into_iter().next().unwrap().observed])
//! };
//! for _step in 0..2 {
//!     let (soft, observed) = experts_per_row(&searched, Mode::Train);
//!     assert!(soft > 1.0);
//!     // Here an optimiser would move the gates and the permutation.
//!     searched.after_step(&observed);
//! }
//! assert_eq!(experts_per_row(&searched, Mode::Train).0, 1.0);
//! assert_eq!(experts_per_row(&searched, Mode::Infer).0, 1.0);
//! println!("expert 0 of the gate is expert {}", searched.permutations()[0][0]);
//! let plain_gates = searched.fold();
//! assert_eq!(plain_gates.num_experts(), 4);
//! ```
//!
//! # Departures from the authors' code
//! * After the learning phase the weights are moved, not multiplied by zeros and ones, and not divided by their sum
//!   again: they are equal, bit by bit, to those of the gates without a permutation, with permuted expert indices.
//! * The micro-batches of a step share one soft permutation; the counter counts steps, not calls.
//! * A logsumexp is subtracted as its largest element and the rest, which is closer to the formula in single precision.
//! * Additional options, off by default: a floor under the temperature ([`Schedule::doubly_stochastic`]), a threshold
//!   below which entries are dropped, and one permutation per gate.

mod entropy;
mod normalise;
mod options;
mod permute;
mod registry;
mod rounding;
mod schedule;
mod searched;
mod sinkhorn;
mod swap;

pub use entropy::permutation_entropy;
pub use options::SearchOptions;
pub use permute::{permute_parts, permute_routing};
pub use registry::with_search;
pub use rounding::{NotFinite, round_permutation};
pub use schedule::{Learning, Schedule, SoftCall};
pub use searched::Searched;
pub use sinkhorn::{gumbel, sinkhorn};
pub use swap::{SwapResult, swap_search};
