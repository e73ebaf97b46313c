//! When a router is called better than another one.

use moe_core::task::intervals::Interval;
use serde::{Deserialize, Serialize};

/// A relative difference of which less is not called worse: 2 %.
pub const NOT_WORSE_MARGIN: f64 = 0.02;

/// What can be said of a value, such as a test loss, beside that of a baseline. Less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The corrected interval of the difference lies below 0.
    Better,
    /// Not better, but the upper bound of the relative difference is below [`NOT_WORSE_MARGIN`].
    NotWorse,
    /// The corrected interval lies above 0, and the upper bound of the relative difference is not below the margin.
    Worse,
    /// None of these.
    CannotTell,
}

impl Verdict {
    /// The verdict on a relative difference: `corrected` is its interval, corrected for the number of comparisons
    /// ([`simultaneous_level`](super::simultaneous_level)), `ci95` its 95 % interval, whose upper end is the upper bound.
    ///
    /// ```
    /// # use moe_bench::statistics::Verdict;
    /// assert_eq!(Verdict::of([-0.10, -0.01], [-0.09, -0.02]), Verdict::Better);
    /// assert_eq!(Verdict::of([-0.10, 0.019], [-0.09, 0.01]), Verdict::NotWorse);
    /// assert_eq!(Verdict::of([-0.10, 0.05], [-0.09, 0.03]), Verdict::CannotTell);
    /// assert_eq!(Verdict::of([0.01, 0.10], [0.02, 0.08]), Verdict::Worse);
    /// ```
    pub fn of(corrected: Interval, ci95: Interval) -> Self {
        let [low, high] = corrected;
        if high < 0.0 {
            Verdict::Better
        } else if ci95[1] < NOT_WORSE_MARGIN {
            Verdict::NotWorse
        } else if low > 0.0 {
            Verdict::Worse
        } else {
            Verdict::CannotTell
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_not_inside() {
        assert_eq!(Verdict::of([-0.1, 0.0], [-0.1, 0.0]), Verdict::NotWorse);
        assert_eq!(Verdict::of([0.0, 0.1], [0.0, NOT_WORSE_MARGIN]), Verdict::CannotTell);
        // A difference that is certain but below the margin.
        assert_eq!(Verdict::of([0.001, 0.03], [0.002, 0.019]), Verdict::NotWorse);
    }
}
