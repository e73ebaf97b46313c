//! The mean of the best trials.

use serde::Serialize;

use crate::statistics::summary::Summary;
use crate::statistics::trial::{Trial, ranked};

/// The test values of the best trials by validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TopShare {
    /// Number of trials that are kept.
    pub kept: usize,
    /// Mean and standard error of their test values.
    pub test: Summary,
}

/// Mean ± standard error of the test values of the best trials by validation, as COMET's supplement (S1.3) reports the best 5 %
/// of 500 trials (`share` 0.05). Kept is `share` of all trials, failed ones too, rounded up, so that there is at least one; but
/// no failed one. Of trials with equal validation values the earlier ones are kept. `None` if all failed.
///
/// ```
/// use moe_bench::statistics::{Trial, top_share};
///
/// let trial = |validation, test| Trial { validation, test, epochs: 10.0, seconds: 1.0 };
/// let trials = [trial(0.3, 5.0), trial(0.1, 1.0), trial(0.2, 2.0), trial(f64::NAN, 0.0)];
/// assert_eq!(top_share(&trials, 0.05).unwrap().kept, 1);
/// let half = top_share(&trials, 0.5).unwrap();
/// assert_eq!((half.kept, half.test.mean), (2, 1.5));
/// ```
///
/// # Panics
/// If the share is not above 0 and at most 1.
pub fn top_share(trials: &[Trial], share: f64) -> Option<TopShare> {
    assert!(0.0 < share && share <= 1.0, "the share {share} is not above 0 and at most 1");
    let best = ranked(trials);
    // 0.05 of 140 is 7.000000000000001, and means 7.
    let wanted = (share * trials.len() as f64 - 1e-9).ceil().max(1.0) as usize;
    let kept = wanted.min(best.len());
    let test: Vec<f64> = best[..kept].iter().map(|trial| trial.test).collect();
    (kept > 0).then(|| TopShare { kept, test: Summary::of(&test) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_that_is_kept() {
        let good = Trial { validation: 1.0, test: 1.0, epochs: 1.0, seconds: 1.0 };
        for (trials, kept) in [(1, 1), (14, 1), (20, 1), (21, 2), (140, 7), (150, 8), (500, 25)] {
            assert_eq!(top_share(&vec![good; trials], 0.05).unwrap().kept, kept, "{trials}");
        }
        let failed = Trial { test: f64::INFINITY, ..good };
        assert_eq!(top_share(&[failed; 9], 1.0), None);
        assert_eq!(top_share(&[failed, good, failed], 1.0).unwrap().kept, 1);
    }
}
