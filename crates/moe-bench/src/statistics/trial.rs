//! A trial of a search.

/// What statistics need to know of a trial of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// The value on the validation split that trials are chosen by; lower is better.
    pub validation: f64,
    /// The value on the test split.
    pub test: f64,
    /// Number of epochs trained, also of a trial that failed or was pruned.
    pub epochs: f64,
    /// Seconds spent.
    pub seconds: f64,
}

impl Trial {
    /// Returns whether the trial has failed: one of its two values is not finite. Such a trial costs its budget and is never
    /// chosen.
    pub fn has_failed(&self) -> bool {
        !(self.validation.is_finite() && self.test.is_finite())
    }
}

/// The trials that have not failed, the best by validation first, the earlier one of equals first.
pub(crate) fn ranked(trials: &[Trial]) -> Vec<Trial> {
    let mut ranked: Vec<Trial> = trials.iter().copied().filter(|t| !t.has_failed()).collect();
    // Without the difference between 0 and -0, which are equal.
    ranked.sort_by(|a, b| (a.validation + 0.0).total_cmp(&(b.validation + 0.0)));
    ranked
}
