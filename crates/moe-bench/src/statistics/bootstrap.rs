//! Intervals by resampling (Efron, "Bootstrap methods: another look at the jackknife", 1979).

use moe_core::rand::Rng;
use moe_core::random::chacha;
use moe_core::task::intervals::Interval;
use statrs::distribution::{ContinuousCDF, Normal};

use crate::statistics::quantile::quantile;

/// How resamples are drawn and made into an interval. The same fields give the same interval.
///
/// The default is 10,000 resamples, the seed 1, the level 0.95 and [`BootstrapMethod::Bca`], whose error falls with 1/n where
/// that of the percentiles falls with 1/√n, at the cost of one more evaluation per value. With fewer than ten values both are
/// too narrow, as a sample that small has too little spread; a [`PairedTest`](super::PairedTest) is the safer interval there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Number of resamples.
    pub resamples: usize,
    /// Seed of the ChaCha8 stream that draws them.
    pub seed: u64,
    /// Probability with which the interval is to cover, between 0 and 1.
    pub level: f64,
    /// How the resampled values become an interval.
    pub method: BootstrapMethod,
}

/// How resampled values become an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BootstrapMethod {
    /// [`percentile_interval`]
    Percentile,
    /// [`bca_interval`]
    #[default]
    Bca,
}

impl Default for Bootstrap {
    fn default() -> Self {
        let method = BootstrapMethod::Bca;
        Bootstrap { resamples: 10_000, seed: 1, level: 0.95, method }
    }
}

impl Bootstrap {
    /// The interval of the mean of `values - baseline`, whose pairs are resampled; `None` for fewer than two pairs.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn difference(&self, values: &[f64], baseline: &[f64]) -> Option<Interval> {
        self.paired(values, baseline, |sum, base, n| (sum - base) / n)
    }

    /// The interval of the relative difference of the means, `(mean of values - mean of baseline) / |mean of baseline|`, whose
    /// pairs are resampled: the mean of the baseline varies too. `None` for fewer than two pairs.
    ///
    /// ```
    /// # use moe_bench::statistics::Bootstrap;
    /// let (values, baseline) = ([0.8, 0.9, 1.0, 0.9], [1.0, 1.1, 1.2, 1.3]);
    /// let [low, high] = Bootstrap::default().relative_difference(&values, &baseline).unwrap();
    /// assert!(low < -0.21 && -0.21 < high && high < -0.15);
    /// ```
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn relative_difference(&self, values: &[f64], baseline: &[f64]) -> Option<Interval> {
        self.paired(values, baseline, |sum, base, _| (sum - base) / base.abs())
    }

    /// The interval of a statistic of the sums over pairs and of their number.
    fn paired(
        &self,
        values: &[f64],
        baseline: &[f64],
        statistic: impl Fn(f64, f64, f64) -> f64,
    ) -> Option<Interval> {
        let (n, others) = (values.len(), baseline.len());
        assert_eq!(n, others, "{n} values are compared with {others}");
        self.interval(n, |rows| {
            let sum = |of: &[f64]| rows.iter().map(|&row| of[row]).sum::<f64>();
            statistic(sum(values), sum(baseline), rows.len() as f64)
        })
    }

    /// The interval of a statistic of `n` values that are resampled with replacement. `statistic` is given the indices of the
    /// values of a resample; for [`BootstrapMethod::Bca`] also of all values but one. `None` for fewer than two values, or if
    /// the statistic is not a number for some resample.
    ///
    /// ```
    /// # use moe_bench::statistics::Bootstrap;
    /// let losses = [0.3, 0.5, 0.4, 0.7, 0.6];
    /// let median = |rows: &[usize]| {
    ///     let mut losses: Vec<f64> = rows.iter().map(|&row| losses[row]).collect();
    ///     losses.sort_by(f64::total_cmp);
    ///     losses[losses.len() / 2]
    /// };
    /// let [low, high] = Bootstrap::default().interval(losses.len(), median).unwrap();
    /// assert!(low < 0.5 && 0.5 < high);
    /// ```
    ///
    /// # Panics
    /// If the level is not between 0 and 1, or there are no resamples.
    pub fn interval(&self, n: usize, statistic: impl Fn(&[usize]) -> f64) -> Option<Interval> {
        if n < 2 {
            return None;
        }
        let mut rng = chacha(self.seed, "statistics.bootstrap", 0);
        let mut rows = vec![0; n];
        let mut resample = |_| {
            rows.fill_with(|| rng.random_range(0..n as u64) as usize);
            statistic(&rows)
        };
        let resampled: Vec<f64> = (0..self.resamples).map(&mut resample).collect();
        match self.method {
            BootstrapMethod::Percentile => percentile_interval(resampled, self.level),
            BootstrapMethod::Bca => {
                let all: Vec<usize> = (0..n).collect();
                let without = |left_out: usize| {
                    let rows: Vec<usize> = all.iter().copied().filter(|&i| i != left_out).collect();
                    statistic(&rows)
                };
                let jackknife: Vec<f64> = all.iter().map(|&row| without(row)).collect();
                bca_interval(resampled, statistic(&all), &jackknife, self.level)
            }
        }
    }
}

/// The interval between two percentiles of resampled values, which leave out the same share at both ends; `None` if a value is
/// not a number. Infinite values are allowed.
///
/// # Panics
/// If the level is not between 0 and 1, or there are no values.
pub fn percentile_interval(mut resampled: Vec<f64>, level: f64) -> Option<Interval> {
    check(&resampled, level);
    if resampled.iter().any(|value| value.is_nan()) {
        return None;
    }
    resampled.sort_by(f64::total_cmp);
    Some([0.5 - 0.5 * level, 0.5 + 0.5 * level].map(|p| quantile(&resampled, p)))
}

/// The bias-corrected and accelerated interval of resampled values (Efron, "Better bootstrap confidence intervals", 1987,
/// equations 2.3 and 6.6): percentiles that are moved by the bias z₀ of the resampled values and by the acceleration a, which
/// follows from the values of the statistic without one value at a time, `jackknife`. As in scipy, values that equal `estimate`
/// count half for z₀. The [`percentile_interval`] where z₀ or a has no value, as when all resampled values are equal.
///
/// # Panics
/// If the level is not between 0 and 1, or there are no values.
pub fn bca_interval(
    mut resampled: Vec<f64>,
    estimate: f64,
    jackknife: &[f64],
    level: f64,
) -> Option<Interval> {
    check(&resampled, level);
    let law = Normal::standard();
    let (mut below, mut equal) = (0.0, 0.0);
    for &value in &resampled {
        below += f64::from(u8::from(value < estimate));
        equal += f64::from(u8::from(value == estimate));
    }
    let bias = law.inverse_cdf((below + 0.5 * equal) / resampled.len() as f64);
    let mean = jackknife.iter().sum::<f64>() / jackknife.len() as f64;
    let power = |exponent| jackknife.iter().map(|value| (mean - value).powi(exponent)).sum::<f64>();
    let acceleration = power(3) / (6.0 * power(2).powf(1.5));
    let probability = |p: f64| {
        let shifted = bias + law.inverse_cdf(p);
        law.cdf(bias + shifted / (1.0 - acceleration * shifted))
    };
    let [low, high] = [0.5 - 0.5 * level, 0.5 + 0.5 * level].map(probability);
    if !(bias.is_finite() && acceleration.is_finite() && low <= high) {
        return percentile_interval(resampled, level);
    }
    resampled.sort_by(f64::total_cmp);
    let ends = [low, high].map(|p| quantile(&resampled, p));
    ends.iter().all(|end| !end.is_nan()).then_some(ends)
}

fn check(resampled: &[f64], level: f64) {
    assert!(0.0 < level && level < 1.0, "the level {level} is not between 0 and 1");
    assert!(!resampled.is_empty(), "there are no resampled values");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_stability() {
        let few = Bootstrap { resamples: 5, ..Bootstrap::default() };
        let drawn = std::cell::RefCell::new(Vec::new());
        few.interval(3, |rows| {
            drawn.borrow_mut().push(rows.to_vec());
            rows[0] as f64
        });
        assert_eq!(drawn.borrow()[..5], [[0, 1, 2], [0, 1, 2], [0, 0, 0], [0, 0, 2], [0, 0, 1]]);
    }

    /// The bounds of the ratio of two means follow a scale of both.
    #[test]
    fn a_relative_difference_has_no_scale() {
        let (values, baseline) = ([3.0, 5.0, 4.5, 4.0], [4.0, 6.0, 5.0, 5.5]);
        let scaled = |of: [f64; 4]| of.map(|x| 8.0 * x);
        for method in [BootstrapMethod::Percentile, BootstrapMethod::Bca] {
            let bootstrap = Bootstrap { method, ..Bootstrap::default() };
            let found = bootstrap.relative_difference(&values, &baseline).unwrap();
            let of_scaled = bootstrap.relative_difference(&scaled(values), &scaled(baseline));
            assert_eq!(of_scaled, Some(found));
            let [low, high] = bootstrap.difference(&values, &baseline).unwrap();
            let [low8, high8] = bootstrap.difference(&scaled(values), &scaled(baseline)).unwrap();
            assert_eq!([low8, high8], [8.0 * low, 8.0 * high]);
        }
    }

    #[test]
    fn what_has_no_spread_or_no_value() {
        let bootstrap = Bootstrap::default();
        assert_eq!(bootstrap.difference(&[2.0, 3.0], &[1.0, 2.0]), Some([1.0, 1.0]));
        assert_eq!(bootstrap.difference(&[2.0], &[1.0]), None);
        assert_eq!(bootstrap.interval(4, |_| f64::NAN), None);
        let other = Bootstrap { seed: 2, ..bootstrap };
        let (values, baseline) =
            ([0.31, 0.5, 0.47, 0.7, 0.52, 0.61], [0.4, 0.62, 0.51, 0.55, 0.7, 0.3]);
        assert_ne!(bootstrap.difference(&values, &baseline), other.difference(&values, &baseline));
    }
}
