//! 95 % confidence intervals of metrics, from the rows of one test split.
//!
//! They show how far a metric would vary with other rows of the same kind, for the model as it is. They do not cover the
//! variation between seeds, for which several runs are needed, and they treat rows as independent: if rows share a user or
//! an item, the intervals are too narrow.

use crate::task::metrics;

/// The standard normal distribution has 95 % of its mass within ± this value.
const Z: f64 = 1.959_963_984_540_054;

/// Lower and upper bound.
pub type Interval = [f64; 2];

/// Interval of the mean of non-negative values, by its standard error. `None` for fewer than two values.
pub fn mean(values: &[f64]) -> Option<Interval> {
    let n = values.len() as f64;
    let mean = metrics::mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    let reach = Z * (squares / (n - 1.0) / n).sqrt();
    (values.len() > 1).then(|| [(mean - reach).max(0.0), mean + reach])
}

/// Interval of a proportion of `rows` independent rows (Wilson, "Probable inference, the law of succession, and statistical
/// inference", 1927). `None` without rows.
pub fn share(share: f64, rows: usize) -> Option<Interval> {
    let n = rows as f64;
    let centre = share + Z * Z / (2.0 * n);
    let reach = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let end = |end: f64| (end / (1.0 + Z * Z / n)).clamp(0.0, 1.0);
    (rows > 0).then(|| [end(centre - reach), end(centre + reach)])
}

/// Interval of an area under the ROC curve (Hanley and McNeil, "The meaning and use of the area under a receiver operating
/// characteristic curve", 1982, with the standard error for exponentially distributed scores). `None` if only one
/// class occurs, and for 0 and 1, where the formula gives no width.
pub fn auc(auc: f64, positives: usize, negatives: usize) -> Option<Interval> {
    let (p, n) = (positives as f64, negatives as f64);
    let of_positives = auc / (2.0 - auc) - auc * auc;
    let of_negatives = 2.0 * auc * auc / (1.0 + auc) - auc * auc;
    let variance =
        (auc * (1.0 - auc) + (p - 1.0) * of_positives + (n - 1.0) * of_negatives) / (p * n);
    let reach = Z * variance.sqrt();
    (positives > 0 && negatives > 0 && variance > 0.0)
        .then(|| [(auc - reach).max(0.0), (auc + reach).min(1.0)])
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;
    use crate::random::chacha;

    fn is_near(found: Option<Interval>, expected: Interval, tolerance: f64) {
        let found = found.unwrap();
        let apart = (0..2).map(|i| (found[i] - expected[i]).abs()).fold(0.0, f64::max);
        assert!(apart <= tolerance, "{found:?} is not {expected:?}");
    }

    #[test]
    fn of_a_mean() {
        // Mean 2, standard error 1/√3.
        let reach = Z / 3f64.sqrt();
        is_near(mean(&[1.0, 2.0, 3.0]), [2.0 - reach, 2.0 + reach], 1e-12);
        is_near(mean(&[0.0, 4.0]), [0.0, 2.0 + 2.0 * Z], 1e-12);
        assert_eq!((mean(&[]), mean(&[1.0])), (None, None));
    }

    #[test]
    fn of_a_share() {
        // z² / (n + z²) for no hit in n.
        is_near(share(0.0, 10), [0.0, Z * Z / (10.0 + Z * Z)], 1e-12);
        // The ends are where the score test rejects: (p - p₀)² = z² p₀ (1 - p₀) / n.
        for (hits, rows) in [(1, 7), (9, 10), (500, 1000)] {
            let p = f64::from(hits) / f64::from(rows);
            for end in share(p, rows as usize).unwrap() {
                let score = (p - end) * (p - end) * f64::from(rows) / (end * (1.0 - end));
                assert!((score - Z * Z).abs() < 1e-9, "{hits} of {rows}: {end}");
            }
        }
        assert_eq!(share(0.0, 0), None);
    }

    #[test]
    fn of_an_auc() {
        // The example of the paper: 58 normal and 51 abnormal images, area 0.893, standard error 0.032 as printed.
        let [low, high] = auc(0.893, 51, 58).unwrap();
        assert!(((high - low) / (2.0 * Z) - 0.0325).abs() < 5e-4, "{low} {high}");
        // One of each class at 1/2: Q terms have no weight, the variance is 1/4.
        is_near(auc(0.5, 1, 1), [0.0, 1.0], 0.0);
        assert_eq!([auc(0.5, 0, 9), auc(0.5, 9, 0), auc(1.0, 9, 9), auc(0.0, 9, 9)], [None; 4]);
    }

    /// The fraction of simulated worlds with a known truth in which the interval covers it.
    fn coverage(mut world: impl FnMut(&mut dyn FnMut() -> f64) -> (Option<Interval>, f64)) -> f64 {
        const WORLDS: usize = 2000;
        let mut rng = chacha(1, "tests.intervals", 0);
        let mut exponential = move || -(1.0 - rng.random::<f64>()).ln();
        let mut is_held = || {
            let ([low, high], truth) = match world(&mut exponential) {
                (Some(interval), truth) => (interval, truth),
                (None, _) => return false,
            };
            (low..=high).contains(&truth)
        };
        (0..WORLDS).filter(|_| is_held()).count() as f64 / WORLDS as f64
    }

    #[test]
    fn they_hold_the_truth_as_often_as_they_say() {
        // Four standard errors of a share of 0.95 of 2000 are 0.02.
        let near = 0.93..0.97;
        let of_mean = coverage(|draw| (mean(&[(); 400].map(|()| draw())), 1.0));
        // A positive scores three times as high in the mean: it is above a negative with probability 3/4.
        let of_auc = |positives: usize| {
            coverage(|draw| {
                let labels: Vec<bool> = (0..150).map(|row| row < positives).collect();
                let score = |&label: &bool| draw() * if label { 3.0 } else { 1.0 };
                let scores: Vec<f64> = labels.iter().map(score).collect();
                let found = metrics::roc_auc(&scores, &labels).unwrap();
                (auc(found, positives, 150 - positives), 0.75)
            })
        };
        let of_share = coverage(|draw| {
            // Above its upper decile.
            let hits = (0..120).filter(|_| draw() > 10f64.ln()).count();
            (share(hits as f64 / 120.0, 120), 0.1)
        });
        for (name, found) in [
            ("mean", of_mean),
            ("auc", of_auc(75)),
            ("skewed auc", of_auc(30)),
            ("share", of_share),
        ] {
            assert!(near.contains(&found), "{name}: {found}");
        }
        // A negative control: intervals for twice the number of rows.
        let narrow = coverage(|draw| {
            let hits = (0..120).filter(|_| draw() > 10f64.ln()).count();
            (share(hits as f64 / 120.0, 240), 0.1)
        });
        assert!(narrow < 0.9, "{narrow}");
    }
}
