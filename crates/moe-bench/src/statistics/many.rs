//! Correction for many comparisons: of several routers that do not differ from the baseline, one may seem to by chance.

/// P-values that are adjusted for their number, so that all hypotheses with an adjusted value of at most α can be rejected with
/// a probability of at most α that one of them is true (Holm, "A simple sequentially rejective multiple test procedure", 1979):
/// the i-th smallest of m is multiplied by m - i + 1, is at least the one before it, and at most 1. The order stays.
///
/// ```
/// # use moe_bench::statistics::holm;
/// assert_eq!(holm(&[0.25, 0.0625, 0.375]), [0.5, 0.1875, 0.5]);
/// ```
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let m = p_values.len();
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let (mut adjusted, mut largest) = (vec![0.0; m], 0.0f64);
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max((m - rank) as f64 * p_values[index]).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

/// The level of each of `comparisons` intervals at which all of them cover together with a probability of at least `level`,
/// whatever depends on what: 1 - (1 - level) / comparisons (Bonferroni's inequality; Dunn, "Multiple comparisons among means",
/// 1961).
///
/// ```
/// # use moe_bench::statistics::simultaneous_level;
/// assert!((simultaneous_level(0.95, 10) - 0.995).abs() < 1e-15);
/// ```
pub fn simultaneous_level(level: f64, comparisons: usize) -> f64 {
    1.0 - (1.0 - level) / comparisons.max(1) as f64
}
