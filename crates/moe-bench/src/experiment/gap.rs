//! How much of what there is to gain by routing a router gains: the share of the gap between `hash` and `oracle` that it
//! closes.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The share of the gap between `hash`, which sends rows at random, and `oracle`, which knows their planted groups.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GapClosed {
    /// (loss of hash - loss) / (loss of hash - loss of oracle), of mean test losses: 0 for `hash`, 1 for `oracle`. It is above
    /// 1 for a router that is better than one expert for each group, and below 0 for one that is worse than none.
    pub share: f64,
    /// 95 % interval of `share` over the seeds, by Fieller's theorem. `None` with one seed, or if the gap is not clearly above
    /// 0, so that no interval is bounded.
    pub ci95: Option<[f64; 2]>,
}

impl GapClosed {
    /// The share for the test losses of a router, of `hash` and of `oracle`, paired by seed; `None` if there is no gap.
    ///
    /// With a = hash - losses and b = hash - oracle, seed by seed, the interval has the shares ρ for which the mean of a - ρ b
    /// is within Student's t (n - 1 degrees of freedom) times its standard error of 0 (Fieller, "Some problems in interval
    /// estimation", 1954): the interval of a paired difference, turned round.
    ///
    /// # Panics
    /// If the numbers of losses differ.
    pub fn of(losses: &[f64], hash: &[f64], oracle: &[f64]) -> Option<Self> {
        let n = losses.len();
        assert!(hash.len() == n && oracle.len() == n, "a loss of each router for each seed");
        let less_than_hash = |of: &[f64]| hash.iter().zip(of).map(|(h, v)| h - v).collect();
        let [gain, gap]: [Vec<f64>; 2] = [less_than_hash(losses), less_than_hash(oracle)];
        let mean = |values: &[f64]| values.iter().sum::<f64>() / n as f64;
        let (a, b) = (mean(&gain), mean(&gap));
        if b.is_nan() || b <= 0.0 || !a.is_finite() {
            return None;
        }
        Some(GapClosed { share: a / b, ci95: fieller(&gain, &gap, a, b) })
    }
}

/// The roots of (a - ρ b)² = t² (s_aa - 2 ρ s_ab + ρ² s_bb), with variances and covariance of the means.
fn fieller(gain: &[f64], gap: &[f64], a: f64, b: f64) -> Option<[f64; 2]> {
    let n = gain.len() as f64;
    if gain.len() < 2 {
        return None;
    }
    let sum = |x: &[f64], x_mean: f64, y: &[f64], y_mean: f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - x_mean) * (y - y_mean)).sum::<f64>() / (n - 1.0) / n
    };
    let law = StudentsT::new(0.0, 1.0, n - 1.0).expect("at least one degree of freedom");
    let t2 = law.inverse_cdf(0.975).powi(2);
    let (aa, ab, bb) = (sum(gain, a, gain, a), sum(gain, a, gap, b), sum(gap, b, gap, b));
    // b² - t² s_bb > 0: the gap differs from 0.
    let (square, half, constant) = (b * b - t2 * bb, a * b - t2 * ab, a * a - t2 * aa);
    if square <= 0.0 {
        return None;
    }
    let root = (half * half - square * constant).max(0.0).sqrt();
    Some([(half - root) / square, (half + root) / square])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: [f64; 5] = [0.70, 0.69, 0.72, 0.68, 0.71];
    const ORACLE: [f64; 5] = [0.18, 0.17, 0.19, 0.18, 0.18];

    #[test]
    fn the_ends_of_the_gap() {
        let share = |losses: &[f64]| GapClosed::of(losses, &HASH, &ORACLE).unwrap();
        let (hash, oracle) = (share(&HASH), share(&ORACLE));
        assert_eq!((hash.share, oracle.share), (0.0, 1.0));
        for (found, exact) in [(hash, 0.0), (oracle, 1.0)] {
            let [low, high] = found.ci95.unwrap();
            assert!((low - exact).abs() < 1e-9 && (high - exact).abs() < 1e-9, "{found:?}");
        }
        assert!(share(&[0.8; 5]).share < 0.0 && share(&[0.1; 5]).share > 1.0);
    }

    /// Each bound is a share ρ at which the paired t-test of a - ρ b stands at exactly t(0.975, 4) = 2.776445.
    #[test]
    fn the_interval_turns_the_paired_test_round() {
        let losses = [0.30, 0.41, 0.35, 0.28, 0.44];
        let found = GapClosed::of(&losses, &HASH, &ORACLE).unwrap();
        assert!((found.share - (0.70 - 0.356) / (0.70 - 0.18)).abs() < 1e-12);
        let bounds = found.ci95.unwrap();
        assert!(bounds[0] < found.share && found.share < bounds[1]);
        for rho in bounds {
            let of_seed = |i: usize| (HASH[i] - losses[i]) - rho * (HASH[i] - ORACLE[i]);
            let values: Vec<f64> = (0..5).map(of_seed).collect();
            let mean = values.iter().sum::<f64>() / 5.0;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4.0;
            let t = mean.abs() / (variance / 5.0).sqrt();
            assert!((t - 2.776_445).abs() < 1e-5, "{t}");
        }
    }

    #[test]
    fn without_a_gap_there_is_no_share() {
        assert_eq!(GapClosed::of(&HASH, &ORACLE, &HASH), None);
        assert_eq!(GapClosed::of(&HASH, &HASH, &HASH), None);
        assert_eq!(GapClosed::of(&[], &[], &[]), None);
        assert_eq!(GapClosed::of(&[f64::NAN], &[0.7], &[0.2]), None);
        // A gap that may be 0 bounds nothing; one seed says nothing about its spread.
        let unclear = GapClosed::of(&[0.4, 0.5], &[0.9, 0.5], &[0.1, 0.8]).unwrap();
        assert_eq!(unclear.ci95, None);
        let one = GapClosed::of(&[0.45], &[0.7], &[0.2]).unwrap();
        assert!((one.share - 0.5).abs() < 1e-12 && one.ci95.is_none());
    }
}
