use moe_core::Real;

use crate::optimizer::clipping::Limits;
use crate::optimizer::span::{Span, flushed};

/// The constants of one step of gradient descent.
pub(super) struct SgdStep {
    pub(super) limits: Limits,
    pub(super) learning_rate: Real,
    pub(super) momentum: Real,
    pub(super) nesterov: bool,
    pub(super) weight_decay: Real,
}

impl SgdStep {
    /// Updates a span; `None` stands for a gradient of zeros.
    #[inline(always)]
    pub(super) fn apply(&self, span: Span<'_>, gradient: Option<&[Real]>) {
        match (gradient, span.first.is_empty()) {
            (Some(gradient), true) => {
                for (value, &g) in span.values.iter_mut().zip(gradient) {
                    let g = self.limits.apply(g) + self.weight_decay * *value;
                    *value -= self.learning_rate * g;
                }
            }
            (None, true) => span.values.iter_mut().for_each(|value| {
                *value -= self.learning_rate * (self.weight_decay * *value);
            }),
            (Some(gradient), false) => {
                for ((value, buffer), &g) in span.values.iter_mut().zip(span.first).zip(gradient) {
                    self.with_momentum(value, buffer, self.limits.apply(g));
                }
            }
            (None, false) => {
                for (value, buffer) in span.values.iter_mut().zip(span.first) {
                    self.with_momentum(value, buffer, 0.0);
                }
            }
        }
    }

    #[inline(always)]
    fn with_momentum(&self, value: &mut Real, buffer: &mut Real, g: Real) {
        let g = g + self.weight_decay * *value;
        // PyTorch initialises the buffer with the first gradient, which is what a zero buffer gives here.
        *buffer = flushed(self.momentum * *buffer + g);
        let direction = if self.nesterov { g + self.momentum * *buffer } else { *buffer };
        *value -= self.learning_rate * direction;
    }
}
