//! Means with standard errors, and paired comparisons.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Mean and standard error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The mean.
    pub mean: f64,
    /// Standard error of the mean; `None` with one value.
    pub stderr: Option<f64>,
}

impl Summary {
    /// Mean and standard error of `values`, of which there is at least one.
    pub(crate) fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        Summary { mean, stderr: (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt()) }
    }
}

/// Mean difference of `values` and `baseline`, pair by pair, relative to the baseline's mean, with a 95 % interval by
/// Student's t on the differences; no interval for one pair.
pub(crate) fn paired(values: &[f64], baseline: &[f64]) -> (f64, Option<[f64; 2]>) {
    let scale = Summary::of(baseline).mean.abs();
    let differences: Vec<f64> = values.iter().zip(baseline).map(|(v, b)| (v - b) / scale).collect();
    let Summary { mean, stderr } = Summary::of(&differences);
    let ci95 = stderr.map(|stderr| {
        let freedom = (differences.len() - 1) as f64;
        let law = StudentsT::new(0.0, 1.0, freedom).expect("at least one degree of freedom");
        let reach = law.inverse_cdf(0.975) * stderr;
        [mean - reach, mean + reach]
    });
    (mean, ci95)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_values() {
        // Mean 2; squares 1 + 0 + 1; variance 1; standard error 1/√3.
        let summary = Summary::of(&[1.0, 2.0, 3.0]);
        assert_eq!(summary.mean, 2.0);
        assert!((summary.stderr.unwrap() - 1.0 / 3f64.sqrt()).abs() < 1e-15);
        assert_eq!(Summary::of(&[5.0]), Summary { mean: 5.0, stderr: None });
    }

    #[test]
    fn paired_interval_uses_students_t() {
        // Differences 1, 2, 3 tenths: mean 0.2, standard error 0.1/√3, t(0.975, 2) = 4.302653.
        let (relative, ci95) = paired(&[11.0, 12.0, 13.0], &[10.0, 10.0, 10.0]);
        let [low, high] = ci95.unwrap();
        assert!((relative - 0.2).abs() < 1e-12);
        assert!((high - (0.2 + 4.302653 * 0.1 / 3f64.sqrt())).abs() < 1e-6);
        assert!((low + high - 0.4).abs() < 1e-12);
    }
}
