//! Mean and standard error.

use serde::{Deserialize, Deserializer, Serialize};

/// Mean and standard error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The mean.
    #[serde(deserialize_with = "or_nan")]
    pub mean: f64,
    /// Standard error of the mean; `None` with one value.
    pub stderr: Option<f64>,
}

/// A number, or NaN, which JSON writes as null.
fn or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Option::deserialize(deserializer).map(|value| value.unwrap_or(f64::NAN))
}

impl Summary {
    /// Mean and standard error of `values`: the root of Σ(v - mean)² / ((n - 1) n). The mean of no values is NaN.
    ///
    /// ```
    /// # use moe_bench::statistics::Summary;
    /// let summary = Summary::of(&[1.0, 2.0, 3.0]);
    /// assert_eq!(summary.mean, 2.0);
    /// assert!((summary.stderr.unwrap() - 1.0 / 3f64.sqrt()).abs() < 1e-15);
    /// ```
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        Summary { mean, stderr: (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt()) }
    }
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
}
