use moe_core::Real;
use moe_core::kernel::{Loops, wide};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::optimizer::span::PIECE;

/// Limit on gradients that are too large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Clipping {
    /// No clipping.
    #[default]
    None,
    /// Scales all gradients down if their joint norm exceeds this value, as `torch.nn.utils.clip_grad_norm_` does: by
    /// the factor min(1, largest norm / (norm + 1e-6)).
    Norm(f64),
    /// Clamps every element to ± this value, as `torch.nn.utils.clip_grad_value_` does.
    Value(f64),
}

impl Clipping {
    /// The effect on each element, given the joint norm of all gradients.
    pub(super) fn limits(self, norm: f64) -> Limits {
        match self {
            Clipping::None => Limits { factor: 1.0, most: Real::INFINITY },
            Clipping::Norm(most) => {
                Limits { factor: (most / (norm + 1e-6)).min(1.0) as Real, most: Real::INFINITY }
            }
            Clipping::Value(most) => Limits { factor: 1.0, most: most as Real },
        }
    }
}

/// The effect of clipping on each element of a finite gradient.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    factor: Real,
    most: Real,
}

impl Limits {
    #[inline(always)]
    pub(super) fn apply(self, gradient: Real) -> Real {
        let gradient = self.factor * gradient;
        // Comparisons in this order are one instruction each.
        let gradient = if gradient > self.most { self.most } else { gradient };
        if gradient < -self.most { -self.most } else { gradient }
    }
}

/// The sum of squares in double precision: each piece of fixed size is summed by itself, then the pieces in order. `sums`
/// is overwritten.
pub(super) fn sum_of_squares(values: &[Real], sums: &mut Vec<f64>) -> f64 {
    if values.len() <= PIECE {
        return wide(Squares(values));
    }
    values.par_chunks(PIECE).map(|piece| wide(Squares(piece))).collect_into_vec(sums);
    sums.iter().sum()
}

struct Squares<'a>(&'a [Real]);

impl Loops for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        /// Number of independent partial sums.
        const LANES: usize = 16;
        let square = |value: Real| f64::from(value) * f64::from(value);
        let (chunks, rest) = self.0.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for chunk in chunks {
            for i in 0..LANES {
                sums[i] += square(chunk[i]);
            }
        }
        sums.iter().sum::<f64>() + rest.iter().map(|&value| square(value)).sum::<f64>()
    }
}
