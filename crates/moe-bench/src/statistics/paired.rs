//! Paired comparisons by Student's t.

use moe_core::task::intervals::Interval;
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::statistics::summary::Summary;

/// The differences between values and a baseline, pair by pair (Student, "The probable error of a mean", 1908). Its intervals
/// and its p-value are exact if the differences are normally distributed, also for few pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedTest {
    /// Number of pairs (n).
    pub pairs: usize,
    /// Mean and standard error of the differences.
    pub difference: Summary,
}

impl PairedTest {
    /// The differences `values - baseline`. All values must be finite.
    ///
    /// # Panics
    /// If the lengths differ or there are no values.
    pub fn absolute(values: &[f64], baseline: &[f64]) -> Self {
        Self::scaled(values, baseline, 1.0)
    }

    /// The differences relative to the absolute value of the mean of the baseline, which is taken as known.
    ///
    /// ```
    /// # use moe_bench::statistics::PairedTest;
    /// let test = PairedTest::relative(&[11.0, 12.0, 13.0], &[10.0, 10.0, 10.0]);
    /// assert!((test.difference.mean - 0.2).abs() < 1e-12);
    /// // Mean 0.2, standard error 0.1/√3, t(0.975, 2) = 4.302653.
    /// let [low, high] = test.interval(0.95).unwrap();
    /// assert!((high - low - 2.0 * 4.302653 * 0.1 / 3f64.sqrt()).abs() < 1e-6);
    /// ```
    ///
    /// # Panics
    /// If the lengths differ or there are no values.
    pub fn relative(values: &[f64], baseline: &[f64]) -> Self {
        Self::scaled(values, baseline, Summary::of(baseline).mean.abs())
    }

    fn scaled(values: &[f64], baseline: &[f64], scale: f64) -> Self {
        let (pairs, others) = (values.len(), baseline.len());
        assert!(pairs == others && pairs > 0, "{pairs} values are compared with {others}");
        let differences = values.iter().zip(baseline).map(|(v, b)| (v - b) / scale);
        let differences: Vec<f64> = differences.collect();
        PairedTest { pairs, difference: Summary::of(&differences) }
    }

    /// The interval of the mean difference that covers it with the probability `level`, such as 0.95; `None` for one pair.
    ///
    /// # Panics
    /// If the level is not between 0 and 1.
    pub fn interval(&self, level: f64) -> Option<Interval> {
        assert!(0.0 < level && level < 1.0, "the level {level} is not between 0 and 1");
        let Summary { mean, stderr } = self.difference;
        let reach = self.law()?.inverse_cdf(0.5 + 0.5 * level) * stderr?;
        Some([mean - reach, mean + reach])
    }

    /// The two-sided p-value of "the mean difference is 0"; `None` for one pair. Differences that are all equal have 0, or 1 if
    /// they are all 0.
    pub fn p_value(&self) -> Option<f64> {
        let Summary { mean, stderr } = self.difference;
        let t = mean.abs() / stderr?;
        let tail = |law: StudentsT| (2.0 * law.cdf(-t)).min(1.0);
        // 0/0 where all differences are 0.
        if t.is_nan() { Some(1.0) } else { self.law().map(tail) }
    }

    fn law(&self) -> Option<StudentsT> {
        StudentsT::new(0.0, 1.0, self.pairs as f64 - 1.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_without_spread() {
        let test = PairedTest::absolute(&[1.0, 2.0], &[1.0, 2.0]);
        assert_eq!((test.p_value(), test.interval(0.9)), (Some(1.0), Some([0.0, 0.0])));
        let test = PairedTest::absolute(&[2.0, 3.0], &[1.0, 2.0]);
        assert_eq!((test.p_value(), test.interval(0.9)), (Some(0.0), Some([1.0, 1.0])));
        let test = PairedTest::absolute(&[2.0], &[1.0]);
        assert_eq!((test.p_value(), test.interval(0.9)), (None, None));
    }

    #[test]
    #[should_panic(expected = "2 values are compared with 1")]
    fn lengths_must_agree() {
        PairedTest::absolute(&[1.0, 2.0], &[1.0]);
    }
}
