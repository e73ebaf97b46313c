//! The share of zeros in the factors of a product.

use super::geometry::{ZERO_SAMPLES, ZEROS_LEAST_SHARE};
use super::mat::Mat;

/// The factor of a product in which it pays to skip zeros. As long as all values are finite, only the time depends on it; zero
/// times a value that is not finite would not be a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Zeros {
    Few,
    Left,
    Right,
}

impl Zeros {
    /// The factor to skip zeros in for the products of all groups together.
    pub(super) fn of<'a>(groups: usize, factors: impl Fn(usize) -> (Mat<'a>, Mat<'a>)) -> Self {
        let left = share(groups, |group| factors(group).0);
        let right = share(groups, |group| factors(group).1);
        match left.max(right) {
            most if most < ZEROS_LEAST_SHARE => Zeros::Few,
            most if most == left => Zeros::Left,
            _ => Zeros::Right,
        }
    }
}

/// Estimates the share of zeros in some matrices from a sample of their values.
fn share<'a>(groups: usize, matrix: impl Fn(usize) -> Mat<'a>) -> f64 {
    let is_zero = |sample: usize| {
        let m = matrix(sample * groups / ZERO_SAMPLES);
        // Primes, so that the number of rows or columns leaves none of them out.
        let at = |prime: usize, count: usize| sample * prime % count;
        m.rows * m.cols > 0
            && m.data[at(7919, m.rows) * m.row_stride + at(104_729, m.cols) * m.col_stride] == 0.0
    };
    let zeros = (0..ZERO_SAMPLES).filter(|&sample| is_zero(sample)).count();
    zeros as f64 / ZERO_SAMPLES as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::Real;

    #[test]
    fn the_factor_with_more_zeros_is_found() {
        // `zeros` of every 10 numbers are zero.
        let numbers = |zeros: usize| -> Vec<Real> {
            (0..600).map(|i| if i * 7 % 10 < zeros { 0.0 } else { 1.0 }).collect()
        };
        for (left, right, expected) in [
            (0, 0, Zeros::Few),
            (3, 2, Zeros::Few),
            (6, 0, Zeros::Left),
            (0, 6, Zeros::Right),
            (6, 8, Zeros::Right),
            (10, 5, Zeros::Left),
        ] {
            let (a, b) = (numbers(left), numbers(right));
            // Groups of unequal sizes, one of them empty; the right factors stand transposed.
            let factors = |group: usize| {
                let rows = [17, 0, 13][group];
                (Mat::new(&a[..rows * 20], rows, 20), Mat::new(&b, 30, 20).t())
            };
            assert_eq!(Zeros::of(3, factors), expected, "{left} and {right} of 10");
        }
    }

    #[test]
    fn nothing_has_few_zeros() {
        let none = Mat::new(&[], 0, 0);
        assert_eq!(Zeros::of(1, |_| (none, none)), Zeros::Few);
        assert_eq!(Zeros::of(0, |_| (none, none)), Zeros::Few);
    }
}
