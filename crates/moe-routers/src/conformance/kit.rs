use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::conformance::determinism::{
    draws, groups_are_not_read, infer_draws_nothing, repeatable, row_wise, threads,
};
use crate::conformance::extremes::{empty_batch, large_logits, odd_experts, one_expert};
use crate::conformance::gradients::{gradients_reach, loss_gradients, weight_gradients};
use crate::conformance::inference::recording_does_not_show;
use crate::conformance::promises::{cardinality, no_zeros, shape, total_weight};
use crate::conformance::state::{state_is_whole, visits_agree};
use crate::conformance::subject::{Build, Options, Subject};
use crate::conformance::verdict::{Failure, Outcome, Verdict};
use crate::gate_set::{GateSet, Gates};
use crate::registry::info::GateSpec;
use crate::router::Router;

/// A check with its name.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Name of the function.
    pub name: &'static str,
    /// The function.
    pub run: fn(&Subject<'_>) -> Verdict,
}

/// All checks, the basic ones first.
pub const CHECKS: [Check; 20] = [
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
    Check { name: "groups_are_not_read", run: groups_are_not_read },
    Check { name: "recording_does_not_show", run: recording_does_not_show },
    Check { name: "weight_gradients", run: weight_gradients },
    Check { name: "loss_gradients", run: loss_gradients },
    Check { name: "gradients_reach", run: gradients_reach },
    Check { name: "large_logits", run: large_logits },
    Check { name: "empty_batch", run: empty_batch },
    Check { name: "one_expert", run: one_expert },
    Check { name: "odd_experts", run: odd_experts },
];

/// The results of all checks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// The name of each check and its verdict.
    pub verdicts: Vec<(&'static str, Verdict)>,
}

impl Report {
    /// Returns whether no check failed.
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

/// One line per check.
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

/// Runs all checks on the gate sets that `build` returns, which must depend only on the specification.
///
/// K is [`Options::k`], or N if that is smaller; `build` may choose another. It may refuse a specification with a
/// reason. If only `one_expert` or `odd_experts` need that N, they are skipped; otherwise a refusal is a failure.
///
/// A check that panics has failed.
///
/// # Panics
/// If [`Options::left_out`] names a check that does not exist.
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
    for name in options.left_out.keys() {
        assert!(CHECKS.iter().any(|check| check.name == name), "there is no check {name}");
    }
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

/// [`check_gates`] for two gates with one router each.
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
