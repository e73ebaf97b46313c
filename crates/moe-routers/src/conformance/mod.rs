//! What every router must hold, as checks that anybody can run on a router of their own.
//!
//! [`check_router`] builds a router of one's own several times, in several sizes, and runs [`CHECKS`] on it;
//! [`check_gates`] does so for gate sets, such as those of a [`Registry`](crate::Registry). Both return a [`Report`]
//! that says what passed, what failed and where, and what was skipped and why. Finite differences need doubles: build
//! the tests with `moe-core/f64` to have the gradients checked.
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
mod infer;
mod promises;
mod state;
mod subject;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use determinism::{draws, infer_draws_nothing, repeatable, row_wise, threads};
pub use extremes::{empty_batch, large_logits, odd_experts, one_expert};
pub use gradients::{gradients_reach, loss_gradients, weight_gradients};
pub use infer::infer_equals_route;
pub use promises::{cardinality, no_zeros, shape, total_weight};
pub use state::{state_is_whole, visits_agree};
pub use subject::{Build, Options, Size, Subject};

use crate::gate_set::{GateSet, Gates};
use crate::registry::registry::GateSpec;
use crate::router::Router;

/// What a check found, unless it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The router holds what is checked.
    Passed {
        /// What was seen, where that is worth saying; may be empty.
        note: String,
    },
    /// The check does not apply.
    Skipped {
        /// Why.
        why: String,
    },
}

impl Outcome {
    /// Passed, with nothing to say.
    fn passed() -> Self {
        Outcome::Passed { note: String::new() }
    }

    fn skipped(why: impl Into<String>) -> Self {
        Outcome::Skipped { why: why.into() }
    }
}

/// What a router does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {found}")]
pub struct Failure {
    /// The sizes, seed, mode and gate where it was found.
    pub at: String,
    /// What was expected and what was found, with the row and expert.
    pub found: String,
}

impl Failure {
    fn new(at: impl fmt::Display, found: impl Into<String>) -> Self {
        Failure { at: at.to_string(), found: found.into() }
    }
}

/// The result of one check.
pub type Verdict = Result<Outcome, Failure>;

/// A check and its name.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// The name of its function.
    pub name: &'static str,
    /// The function.
    pub run: fn(&Subject<'_>) -> Verdict,
}

/// All checks, the basic ones first.
pub const CHECKS: [Check; 19] = [
    Check { name: "shape", run: shape },
    Check { name: "cardinality", run: cardinality },
    Check { name: "total_weight", run: total_weight },
    Check { name: "no_zeros", run: no_zeros },
    Check { name: "visits_agree", run: visits_agree },
    Check { name: "state_is_whole", run: state_is_whole },
    Check { name: "repeatable", run: repeatable },
    Check { name: "threads", run: threads },
    Check { name: "row_wise", run: row_wise },
    Check { name: "draws", run: draws },
    Check { name: "infer_draws_nothing", run: infer_draws_nothing },
    Check { name: "infer_equals_route", run: infer_equals_route },
    Check { name: "weight_gradients", run: weight_gradients },
    Check { name: "loss_gradients", run: loss_gradients },
    Check { name: "gradients_reach", run: gradients_reach },
    Check { name: "large_logits", run: large_logits },
    Check { name: "empty_batch", run: empty_batch },
    Check { name: "one_expert", run: one_expert },
    Check { name: "odd_experts", run: odd_experts },
];

/// What all checks found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// The name of each check and its verdict.
    pub verdicts: Vec<(&'static str, Verdict)>,
}

impl Report {
    /// Whether nothing failed.
    pub fn is_ok(&self) -> bool {
        self.failed().is_empty()
    }

    /// Names of the checks that passed.
    pub fn passed(&self) -> Vec<&'static str> {
        self.names(|verdict| matches!(verdict, Ok(Outcome::Passed { .. })))
    }

    /// Names of the checks that failed.
    pub fn failed(&self) -> Vec<&'static str> {
        self.names(Result::is_err)
    }

    /// Names of the checks that do not apply.
    pub fn skipped(&self) -> Vec<&'static str> {
        self.names(|verdict| matches!(verdict, Ok(Outcome::Skipped { .. })))
    }

    fn names(&self, of: impl Fn(&Verdict) -> bool) -> Vec<&'static str> {
        self.verdicts.iter().filter(|(_, verdict)| of(verdict)).map(|(name, _)| *name).collect()
    }
}

/// A line per check.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, verdict) in &self.verdicts {
            match verdict {
                Ok(Outcome::Passed { note }) if note.is_empty() => writeln!(f, "passed  {name}")?,
                Ok(Outcome::Passed { note }) => writeln!(f, "passed  {name}: {note}")?,
                Ok(Outcome::Skipped { why }) => writeln!(f, "skipped {name}: {why}")?,
                Err(failure) => writeln!(f, "FAILED  {name}: {failure}")?,
            }
        }
        Ok(())
    }
}

/// Runs all checks on the gate sets that `build` makes, which must depend on the specification alone.
///
/// K is [`Options::k`], or N if that is smaller; `build` may choose another. It may refuse a specification, and says
/// why. Where only [`one_expert`] or [`odd_experts`] want that N, they are skipped; elsewhere it is a failure.
///
/// A check that panics has failed.
///
/// ```
/// use std::collections::BTreeMap;
/// use moe_routers::Registry;
/// use moe_routers::conformance::{Options, check_gates};
///
/// let registry = Registry::standard();
/// let entry = registry.get("top-k").unwrap();
/// let build = |spec: &_| entry.build(spec, 2, &BTreeMap::new()).map_err(|e| e.to_string());
/// let report = check_gates(&build, &Options::default());
/// assert!(report.is_ok(), "{report}");
/// ```
pub fn check_gates(build: &Build<'_>, options: &Options) -> Report {
    let subject = Subject { build, options };
    let run = |check: &Check| {
        if let Some(why) = options.left_out.get(check.name) {
            return (check.name, Ok(Outcome::skipped(why)));
        }
        let caught = catch_unwind(AssertUnwindSafe(|| (check.run)(&subject)));
        let verdict = caught.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied());
            Err(Failure::new("in a call of the router", text.unwrap_or("it panicked")))
        });
        (check.name, verdict)
    };
    Report { verdicts: CHECKS.iter().map(run).collect() }
}

/// [`check_gates`] for two gates of one router each.
pub fn check_router<R: Router + 'static>(
    build: impl Fn(&GateSpec) -> R,
    options: &Options,
) -> Report {
    let gates = |spec: &GateSpec| -> Result<Box<dyn GateSet>, String> {
        let gate = |gate| Box::new(build(&GateSpec { gate, ..*spec })) as Box<dyn Router>;
        Ok(Box::new(Gates::new(vec![gate(0), gate(1)])))
    };
    check_gates(&gates, options)
}
