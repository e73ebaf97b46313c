//! How much less of a tuning budget a router needs than another one.

use std::fmt;

use moe_core::rand::Rng;
use moe_core::random::chacha;
use moe_core::task::intervals::Interval;

use crate::statistics::best_of::Values;
use crate::statistics::bootstrap::{Bootstrap, percentile_interval};
use crate::statistics::trial::Trial;

/// What a tuning budget is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetUnit {
    /// Trials.
    Trials,
    /// Epochs: t trials cost t times the mean number of epochs of all trials, failed and pruned ones too.
    Epochs,
    /// Seconds, by the same rule.
    Seconds,
}

/// The test value that the budgets are compared at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// The lowest expected test value of the router that has the larger budget, over all numbers of trials.
    BestOfBase,
    /// This value.
    Value(f64),
}

/// A ratio of budgets: above 1 if the other router needs less.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reduction {
    /// Both routers reach the target.
    Ratio(f64),
    /// Only the other router reaches it: the ratio is above this one, as the base router has not reached it with all its trials.
    MoreThan(f64),
    /// Only the base router reaches it: the ratio is below this one.
    LessThan(f64),
    /// None of them reaches it.
    Unknown,
}

/// The two budgets at a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReductionPoint {
    /// The expected test value that is to be reached.
    pub target: f64,
    /// The budget of the base router.
    pub base: f64,
    /// The budget of the other router; `None` if it does not reach the target.
    pub other: Option<f64>,
    /// Their ratio.
    pub reduction: Reduction,
}

impl BudgetUnit {
    /// Its name, such as `epochs`.
    pub fn name(self) -> &'static str {
        match self {
            BudgetUnit::Trials => "trials",
            BudgetUnit::Epochs => "epochs",
            BudgetUnit::Seconds => "seconds",
        }
    }

    /// The mean cost of a trial.
    fn per_trial(self, trials: &[Trial]) -> f64 {
        let cost = |trial: &Trial| match self {
            BudgetUnit::Trials => 1.0,
            BudgetUnit::Epochs => trial.epochs,
            BudgetUnit::Seconds => trial.seconds,
        };
        trials.iter().map(cost).sum::<f64>() / trials.len() as f64
    }
}

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reduction::Ratio(ratio) => write!(f, "{ratio:.2}"),
            Reduction::MoreThan(ratio) => write!(f, "> {ratio:.2}"),
            Reduction::LessThan(ratio) => write!(f, "< {ratio:.2}"),
            Reduction::Unknown => f.write_str("-"),
        }
    }
}

/// The lowest expected values up to each number of trials, and the cost of a trial.
struct Budgets {
    /// The t of each new minimum of the curve, ascending, and the minimum.
    minima: Vec<(usize, f64)>,
    trials: usize,
    per_trial: f64,
}

impl Budgets {
    fn of(trials: &[Trial], unit: BudgetUnit) -> Self {
        let values = Values::of(trials);
        let mut minima: Vec<(usize, f64)> = Vec::new();
        for drawn in 1..=trials.len() {
            let Some(expected) = values.expected(drawn) else { break };
            if minima.last().is_none_or(|&(_, least)| expected < least) {
                minima.push((drawn, expected));
            }
        }
        Budgets { minima, trials: trials.len(), per_trial: unit.per_trial(trials) }
    }

    /// The least budget with which the target is reached, min{t : L(t) ≤ target}.
    fn to_reach(&self, target: f64) -> Option<f64> {
        let found = self.minima.iter().find(|(_, expected)| *expected <= target);
        found.map(|&(drawn, _)| drawn as f64 * self.per_trial)
    }

    fn best(&self) -> Option<f64> {
        self.minima.last().map(|&(_, least)| least)
    }

    fn whole(&self) -> f64 {
        self.trials as f64 * self.per_trial
    }

    fn reduction(&self, other: &Budgets, target: Target) -> Reduction {
        let target = match target {
            Target::Value(value) => value,
            // A base router that reaches nothing is compared by whether the other one reaches anything.
            Target::BestOfBase => self.best().unwrap_or(f64::INFINITY),
        };
        match (self.to_reach(target), other.to_reach(target)) {
            (Some(base), Some(other)) => Reduction::Ratio(base / other),
            (None, Some(other)) => Reduction::MoreThan(self.whole() / other),
            (Some(base), None) => Reduction::LessThan(base / other.whole()),
            (None, None) => Reduction::Unknown,
        }
    }
}

/// How many times less of a budget the router with the trials `other` needs than the one with the trials `base` to reach a
/// target: min{t : L(t) ≤ target} of `base` over that of `other`, where L(t) is the expected test value of the validation-best of
/// t trials ([`best_of_curve`](super::best_of_curve)), and t trials cost t times the mean cost of a trial. The claim of the COMET
/// paper, "up to 100 times smaller tuning budgets", has no formula where this project could read it; this definition is the
/// project's own.
///
/// ```
/// use moe_bench::statistics::{BudgetUnit, Reduction, Target, Trial, budget_reduction};
///
/// let trials = |tests: &[f64], epochs| -> Vec<Trial> {
///     tests.iter().map(|&test| Trial { validation: test, test, epochs, seconds: 1.0 }).collect()
/// };
/// let (base, other) = (trials(&[4.0, 3.0, 2.0, 1.0], 10.0), trials(&[0.5, 1.5, 2.0, 9.0], 20.0));
/// let reduction = |unit, target| budget_reduction(&base, &other, unit, target);
/// // The best of all four has 1 at last, where the best of three of the other router has 0.75.
/// assert_eq!(reduction(BudgetUnit::Trials, Target::BestOfBase), Reduction::Ratio(4.0 / 3.0));
/// assert_eq!(reduction(BudgetUnit::Epochs, Target::BestOfBase), Reduction::Ratio(40.0 / 60.0));
/// assert_eq!(reduction(BudgetUnit::Trials, Target::Value(0.6)).to_string(), "> 1.00");
/// ```
pub fn budget_reduction(
    base: &[Trial],
    other: &[Trial],
    unit: BudgetUnit,
    target: Target,
) -> Reduction {
    Budgets::of(base, unit).reduction(&Budgets::of(other, unit), target)
}

/// [`budget_reduction`] at every value that the base router's expected test value falls to, from one trial on.
pub fn reduction_curve(base: &[Trial], other: &[Trial], unit: BudgetUnit) -> Vec<ReductionPoint> {
    let (base, other) = (Budgets::of(base, unit), Budgets::of(other, unit));
    let points = base.minima.iter().map(|&(drawn, target)| ReductionPoint {
        target,
        base: drawn as f64 * base.per_trial,
        other: other.to_reach(target),
        reduction: base.reduction(&other, Target::Value(target)),
    });
    points.collect()
}

/// The interval of [`budget_reduction`], by the percentiles of the ratios of trials that are resampled, those of each router on
/// their own; [`Target::BestOfBase`] is that of the resample. A resample in which the base router does not reach the target
/// counts as an infinite ratio, one in which the other router does not as 0, so that an end of the interval may be one of these:
/// there is no bound then. `None` if in some resample none of them reaches it, or a router has no trials.
///
/// # Panics
/// If the level is not between 0 and 1, or there are no resamples.
pub fn reduction_interval(
    base: &[Trial],
    other: &[Trial],
    unit: BudgetUnit,
    target: Target,
    bootstrap: &Bootstrap,
) -> Option<Interval> {
    if base.is_empty() || other.is_empty() {
        return None;
    }
    let mut rng = chacha(bootstrap.seed, "statistics.budget", 0);
    let mut resample = |trials: &[Trial]| -> Vec<Trial> {
        let row = |_| trials[rng.random_range(0..trials.len() as u64) as usize];
        (0..trials.len()).map(row).collect()
    };
    let ratio = |_| {
        let (base, other) = (resample(base), resample(other));
        match budget_reduction(&base, &other, unit, target) {
            Reduction::Ratio(ratio) => ratio,
            Reduction::MoreThan(_) => f64::INFINITY,
            Reduction::LessThan(_) => 0.0,
            Reduction::Unknown => f64::NAN,
        }
    };
    percentile_interval((0..bootstrap.resamples).map(ratio).collect(), bootstrap.level)
}
