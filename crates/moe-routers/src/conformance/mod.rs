//! Requirements that every router must satisfy, as checks that you can run on your own router.
//!
//! [`check_router`] builds a router several times, in several sizes, and runs [`CHECKS`] on it; [`check_gates`] does so
//! for gate sets, such as those of a [`Registry`](crate::Registry). Both return a [`Report`] of the checks that passed,
//! that failed (and where), and that were skipped (and why). Finite differences need doubles: build the tests with
//! `moe-core/f64` to have gradients checked.
//!
//! ```
//! use moe_core::tape::Var;
//! use moe_core::{Visit, VisitMut, dispatch::Assignments};
//! use moe_routers::conformance::{Options, check_router};
//! use moe_routers::{GateLinear, RouteContext, Router, Routing};
//!
//! /// Every expert, weighted by the square of its logit.
//! struct Squares(GateLinear);
//!
//! impl Router for Squares {
//!     fn num_experts(&self) -> usize {
//!         self.0.num_experts()
//!     }
//!     fn route<'t>(&self, _: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
//!         let logits = self.0.logits(x);
//!         let assignments = Assignments::dense(logits.shape()[0], self.num_experts());
//!         Routing::new(assignments.clone(), (logits * logits).gather_assigned(&assignments))
//!     }
//!     fn visit(&self, f: &mut Visit<'_>) {
//!         self.0.visit(f);
//!     }
//!     fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
//!         self.0.visit_mut(f);
//!     }
//! }
//!
//! let report = check_router(|spec| Squares(GateLinear::new(spec)), &Options::default());
//! assert!(report.is_ok(), "{report}");
//! ```

mod determinism;
mod extremes;
mod gradients;
mod inference;
mod kit;
mod promises;
mod state;
mod subject;
mod verdict;

pub use inference::recording_does_not_show;
pub use kit::{CHECKS, Check, Report, check_gates, check_router};
pub use subject::{Build, Options, Size, Subject};
pub use verdict::{Failure, Outcome, Verdict};
