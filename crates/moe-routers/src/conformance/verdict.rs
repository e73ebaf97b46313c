use std::fmt;

/// The outcome of a check that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The router satisfies the check.
    Passed {
        /// Remark on what was checked; may be empty.
        note: String,
    },
    /// The check does not apply.
    Skipped {
        /// The reason.
        why: String,
    },
}

impl Outcome {
    /// Passed, without a remark.
    pub(super) fn passed() -> Self {
        Outcome::Passed { note: String::new() }
    }

    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Outcome::Skipped { why: why.into() }
    }
}

/// A requirement that the router violates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {found}")]
pub struct Failure {
    /// Size, seed, mode and gate of the violation.
    pub at: String,
    /// Expected and found values, with the row and expert.
    pub found: String,
}

impl Failure {
    pub(super) fn new(at: impl fmt::Display, found: impl Into<String>) -> Self {
        Failure { at: at.to_string(), found: found.into() }
    }
}

/// The result of one check.
pub type Verdict = Result<Outcome, Failure>;
