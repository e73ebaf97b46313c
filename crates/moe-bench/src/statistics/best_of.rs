//! What the best of t trials is worth.

use moe_core::task::intervals::Interval;

use crate::statistics::bootstrap::{Bootstrap, BootstrapMethod};
use crate::statistics::trial::{Trial, ranked};

/// The validation-best of t trials that are drawn without replacement from T.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestOf {
    /// Number of trials drawn (t).
    pub trials: usize,
    /// Expected test value of the best of them, over the draws in which one has not failed.
    pub expected: f64,
    /// Standard deviation of that test value over these draws.
    pub deviation: f64,
    /// Probability that all of them have failed, so that there is no best one.
    pub all_failed: f64,
}

/// The expected test value of the validation-best of t trials drawn without replacement, for t from 1 to T, in closed form: the
/// i-th best of T trials is the best of t with the probability C(T - i, t - 1) / C(T, t). The probabilities are computed as
/// products of ratios, without factorials, so that none over- or underflows for any T.
///
/// Of trials with the same validation value each is the best equally often. A failed trial counts as drawn and is never the
/// best; `expected` is conditional on a draw with one that has not failed. Without such a trial the curve is empty.
///
/// ```
/// use moe_bench::statistics::{Trial, best_of_curve};
///
/// let trial = |validation, test| Trial { validation, test, epochs: 10.0, seconds: 1.0 };
/// let curve = best_of_curve(&[trial(0.3, 6.0), trial(0.1, 1.0), trial(0.2, 2.0)]);
/// // Two of three: the best one is drawn twice in three times, else the second one.
/// let expected: Vec<f64> = curve.iter().map(|best| best.expected).collect();
/// for (found, wanted) in expected.iter().zip([3.0, 4.0 / 3.0, 1.0]) {
///     assert!((found - wanted).abs() < 1e-15);
/// }
/// ```
pub fn best_of_curve(trials: &[Trial]) -> Vec<BestOf> {
    let values = Values::of(trials);
    let most = if values.tests.is_empty() { 0 } else { trials.len() };
    (1..=most).map(|drawn| values.best_of(drawn)).collect()
}

/// The interval of [`BestOf::expected`] for `drawn` trials, by the percentiles of the same value of resampled trials (the
/// method of `bootstrap` does not count: leaving out a trial changes the number that is drawn from). `None` if `drawn` is 0 or
/// above T, or if a resample has no trial that has not failed.
pub fn best_of_interval(trials: &[Trial], drawn: usize, bootstrap: &Bootstrap) -> Option<Interval> {
    if !(1..=trials.len()).contains(&drawn) {
        return None;
    }
    let bootstrap = Bootstrap { method: BootstrapMethod::Percentile, ..*bootstrap };
    bootstrap.interval(trials.len(), |rows| {
        let resampled: Vec<Trial> = rows.iter().map(|&row| trials[row]).collect();
        let values = Values::of(&resampled);
        if values.tests.is_empty() { f64::NAN } else { values.best_of(drawn).expected }
    })
}

/// The test values of the trials that have not failed, the best by validation first; those of trials that are equally good are
/// replaced by the mean and the mean square of the group, as each of the group is the best equally often.
pub(crate) struct Values {
    /// Number of all trials (T).
    all: usize,
    tests: Vec<[f64; 2]>,
}

impl Values {
    pub(crate) fn of(trials: &[Trial]) -> Self {
        let mut tests = Vec::new();
        for group in ranked(trials).chunk_by(|a, b| a.validation == b.validation) {
            let mean = |value: &dyn Fn(f64) -> f64| {
                group.iter().map(|trial| value(trial.test)).sum::<f64>() / group.len() as f64
            };
            let moments = [mean(&|test| test), mean(&|test| test * test)];
            tests.extend(group.iter().map(|_| moments));
        }
        Values { all: trials.len(), tests }
    }

    /// The expected test value of the best of `drawn` trials; `None` if all trials failed.
    pub(crate) fn expected(&self, drawn: usize) -> Option<f64> {
        (!self.tests.is_empty()).then(|| self.best_of(drawn).expected)
    }

    fn best_of(&self, drawn: usize) -> BestOf {
        /// What is left of a sum of probabilities does not change it.
        const NOTHING: f64 = 1e-25;
        let (all, drawn_of) = (self.all as f64, drawn as f64);
        // The probability that the next trial is the best one; its ratio to the one before is that of the binomials.
        let mut probability = drawn_of / all;
        let (mut total, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for (i, [test, square]) in self.tests.iter().enumerate() {
            total += probability;
            sum += probability * test;
            squares += probability * square;
            let left = all - (i + 1) as f64;
            probability *= (left - (drawn_of - 1.0)).max(0.0) / left.max(1.0);
            if probability < NOTHING {
                break;
            }
        }
        let failed = self.all - self.tests.len();
        // C(F, t) / C(T, t).
        let all_failed =
            (0..drawn).map(|i| failed.saturating_sub(i) as f64 / (self.all - i) as f64);
        let expected = sum / total;
        BestOf {
            trials: drawn,
            expected,
            deviation: (squares / total - expected * expected).max(0.0).sqrt(),
            all_failed: if failed < drawn { 0.0 } else { all_failed.product() },
        }
    }
}
