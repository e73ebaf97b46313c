//! Relative changes of a loss and of an AUC.
//!
//! The abstracts of the two papers name changes in percent: "up to 13 % better ROC AUC" and "up to 9 %" (COMET), "up to 16 %
//! lower loss" and "up to 15 % better AUC" (MOESART). Neither states a formula where this project could read it. MOESART's
//! "+0.5 % absolute" on text sets the word "absolute" beside the figure, which suggests that the others are relative to the
//! baseline's value, and [`relative_change`] is the definition that this project uses for all of them. An AUC has a chance level
//! of 0.5, not 0, so [`AucChange`] also says what the same two values are as points and relative to what the baseline has above
//! chance; neither paper is known to use these.

/// The change of `value` relative to `baseline`: (value - baseline) / baseline. A loss that is 16 % lower has -0.16, an AUC that
/// is 13 % better has 0.13.
///
/// ```
/// # use moe_bench::statistics::relative_change;
/// assert_eq!(relative_change(0.75, 1.0), -0.25);
/// ```
pub fn relative_change(value: f64, baseline: f64) -> f64 {
    (value - baseline) / baseline
}

/// Ways to state the change of an area under the ROC curve.
///
/// ```
/// # use moe_bench::statistics::AucChange;
/// let AucChange { points, relative, above_chance } = AucChange::of(0.875, 0.75);
/// assert_eq!((points, above_chance), (0.125, 0.5));
/// assert!((relative - 1.0 / 6.0).abs() < 1e-15);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AucChange {
    /// value - baseline
    pub points: f64,
    /// [`relative_change`]: the one that "13 % better" is taken to mean.
    pub relative: f64,
    /// (value - baseline) / (baseline - 0.5); infinite or NaN for a baseline at the chance level.
    pub above_chance: f64,
}

impl AucChange {
    /// The change from `baseline` to `value`.
    pub fn of(value: f64, baseline: f64) -> Self {
        AucChange {
            points: value - baseline,
            relative: relative_change(value, baseline),
            above_chance: (value - baseline) / (baseline - 0.5),
        }
    }
}
