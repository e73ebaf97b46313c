//! How gates route: statistics of each gate, and alarms raised from them.
//!
//! [`GateStats`] accumulates the routings of one gate, over a step or an epoch, in bounded memory. A history keeps its
//! [`GateSummary`], whose [`GateSummary::alarms`] name routing pathologies. [`Consistency`] remembers where each row
//! went, and [`weight_difference`] compares training with inference. The dense gate matrix is
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
mod consistency;
mod frequent_sets;
mod gate_stats;
pub(crate) mod load;
mod set_hash;
mod tree_stats;

pub use alarm::{Alarm, Thresholds};
pub use consistency::Consistency;
pub use gate_stats::{DROPPED, GateStats, GateSummary, gate_label, weight_difference};
pub use load::RoutingStats;
pub use tree_stats::{LeafSummary, SplitSummary, TreeStats, TreeSummary};
