//! Quantiles of a sample.

/// The quantile of sorted values with linear interpolation between neighbours (Hyndman and Fan, "Sample quantiles in
/// statistical packages", 1996, definition 7, the one of numpy). Infinite values are allowed.
pub(crate) fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let place = probability.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (below, share) = (place.floor() as usize, place.fract());
    let low = sorted[below];
    match sorted.get(below + 1) {
        // The difference of two infinite neighbours is not a number.
        Some(&high) if share > 0.0 && high != low => low + share * (high - low),
        _ => low,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_neighbours_and_at_infinity() {
        let values = [1.0, 2.0, 4.0, f64::INFINITY, f64::INFINITY];
        let found = [-0.5, 0.0, 0.25, 0.375, 0.5, 0.6, 0.9, 1.0].map(|p| quantile(&values, p));
        let infinite = f64::INFINITY;
        assert_eq!(found, [1.0, 1.0, 2.0, 3.0, 4.0, infinite, infinite, infinite]);
        assert_eq!(quantile(&[3.0], 0.7), 3.0);
    }
}
