use moe_core::Real;
use pathfinding::prelude::{Weights, kuhn_munkres};

/// A matrix that cannot be rounded.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "row {row}, column {column} is {value}; only finite numbers can be rounded to a permutation"
)]
pub struct NotFinite {
    /// Index of the row.
    pub row: usize,
    /// Index of the column.
    pub column: usize,
    /// Value of the element.
    pub value: Real,
}

/// The permutation nearest to a soft one: among those that assign each row i a distinct column, one with the largest Σ
/// weights\[i, column\[i\]\] (Kuhn and Munkres, through the crate `pathfinding`, in O(N³)). Ties are broken in a way
/// that depends only on the weights; if all weights are equal, the result is the identity.
///
/// Weights are compared after rounding to 2^-52 of the largest one, so the sum is within N times that of the optimum.
///
/// # Shapes
/// `weights` `[N, N]`, row-major → N columns
///
/// # Errors
/// If a weight is not finite.
///
/// # Panics
/// If there are not N² weights.
pub fn round_permutation(weights: &[Real], n: usize) -> Result<Vec<u32>, NotFinite> {
    assert_eq!(weights.len(), n * n, "{} weights for {n} rows and columns", weights.len());
    if let Some(place) = weights.iter().position(|weight| !weight.is_finite()) {
        return Err(NotFinite { row: place / n, column: place % n, value: weights[place] });
    }
    if n == 0 {
        return Ok(Vec::new());
    }
    let (_, columns) = kuhn_munkres(&Scaled::new(weights, n));
    Ok(columns.into_iter().map(|column| column as u32).collect())
}

/// Weights as integers, whose sums and differences are exact. The solver adds up N of them, which is far from the end
/// of their range.
#[derive(Clone)]
struct Scaled {
    n: usize,
    weights: Vec<i128>,
}

impl Scaled {
    fn new(weights: &[Real], n: usize) -> Self {
        const SCALE: f64 = (1u64 << 52) as f64;
        let largest = weights.iter().fold(0.0, |most: f64, &w| most.max(f64::from(w).abs()));
        // Divided first: the largest weight may be near the end of the range, or denormal.
        let scale = |weight: Real| {
            if largest > 0.0 { (f64::from(weight) / largest * SCALE).round() as i128 } else { 0 }
        };
        Scaled { n, weights: weights.iter().map(|&weight| scale(weight)).collect() }
    }
}

impl Weights<i128> for Scaled {
    fn rows(&self) -> usize {
        self.n
    }

    fn columns(&self) -> usize {
        self.n
    }

    fn at(&self, row: usize, column: usize) -> i128 {
        self.weights[row * self.n + column]
    }

    fn neg(&self) -> Self {
        Scaled { n: self.n, weights: self.weights.iter().map(|weight| -weight).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_that_are_not_finite_are_named() {
        let error = round_permutation(&[0.0, 1.0, Real::NAN, 1.0], 2).unwrap_err();
        assert_eq!((error.row, error.column), (1, 0));
        assert!(error.to_string().starts_with("row 1, column 0 is NaN"), "{error}");
        assert!(round_permutation(&[Real::INFINITY], 1).is_err());
        assert!(round_permutation(&[Real::NEG_INFINITY], 1).is_err());
    }

    #[test]
    fn equal_numbers_give_the_identity() {
        for value in [0.0, 1.0, -3.5, Real::MAX, Real::MIN_POSITIVE / 8.0] {
            for n in [0, 1, 2, 5, 17] {
                let columns = round_permutation(&vec![value; n * n], n).unwrap();
                assert_eq!(columns, (0..n as u32).collect::<Vec<_>>(), "{value}");
            }
        }
    }

    #[test]
    fn numbers_of_any_size_are_compared() {
        for size in [Real::MAX, 1.0, Real::MIN_POSITIVE] {
            assert_eq!(
                round_permutation(&[0.5 * size, size, size, 0.75 * size], 2),
                Ok(vec![1, 0])
            );
        }
        // Many rows of the largest numbers, of either sign.
        let n = 300;
        let weights: Vec<Real> =
            (0..n * n).map(|i| if i / n == i % n { 1.0 } else { -1.0 }).collect();
        assert_eq!(round_permutation(&weights, n), Ok((0..n as u32).collect()));
    }
}
