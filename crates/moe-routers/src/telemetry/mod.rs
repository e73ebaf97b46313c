//! How a gate does: numbers of each gate, alarms drawn from them, and matrices for a closer look.
//!
//! [`GateStats`] adds up the routings of one gate, a step or an epoch of them, in bounded memory; its [`GateSummary`] is what a history keeps, and [`GateSummary::alarms`] says what looks wrong.
//! [`Consistency`] remembers where each row went, [`weight_difference`] compares training with inference, and
//! [`CoOccurrence`] counts pairs of experts. The dense gate matrix is
//! [`Routing::to_dense`](crate::Routing::to_dense).
//!
//! ```
//! use moe_core::dispatch::Assignments;
//! use moe_core::Tensor;
//! use moe_routers::telemetry::{Alarm, GateStats, Thresholds};
//!
//! let mut stats = GateStats::default();
//! for _step in 0..10 {
//!     let assignments = Assignments::fixed(4, 1, vec![2; 64]);
//!     stats.add(&assignments, &Tensor::full([64], 1.0), &[]);
//! }
//! let summary = stats.summary();
//! assert_eq!((summary.dead_experts, summary.top_set.as_slice()), (3, &[2][..]));
//! let alarms = summary.alarms(&Thresholds::default());
//! assert!(matches!(alarms[0], Alarm::Collapse { expert: 2, .. }));
//! ```

mod alarm;
mod co_occurrence;
mod consistency;
mod frequent_sets;
mod gate_stats;
pub(crate) mod load;
mod set_hash;
mod tree_stats;

pub use alarm::{Alarm, Thresholds};
pub use co_occurrence::CoOccurrence;
pub use consistency::Consistency;
pub use gate_stats::{DROPPED, GateStats, GateSummary, weight_difference};
pub use load::RoutingStats;
pub use tree_stats::{LeafSummary, SplitSummary, TreeStats, TreeSummary};
