//! The routers of a study as its statistics need them.

use crate::statistics::trial::Trial as Tried;

/// Number of resamples of an interval: the page of 500 trials is to be there in less than two seconds.
pub(super) const RESAMPLES: usize = 400;

/// A router of a study and what its trials that have ended are worth.
pub(super) struct Tuned<'a> {
    pub(super) router: &'a str,
    pub(super) trials: Vec<Tried>,
    pub(super) colour: usize,
    pub(super) is_dashed: bool,
}
