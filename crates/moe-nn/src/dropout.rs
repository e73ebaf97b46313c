use moe_core::tape::Var;
use moe_core::{Pass, Real, Visit, VisitMut};

use crate::{Layer, Module};

/// In training, sets elements to 0 with some probability and scales the others to keep the mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    rate: Real,
    purpose: String,
}

impl Dropout {
    /// Dropout with probability `rate`. Two with the same `purpose` drop the same elements of a row in a step: give
    /// each its own.
    ///
    /// # Panics
    /// If `rate` is not in [0, 1).
    pub fn new(rate: Real, purpose: impl Into<String>) -> Self {
        assert!((0.0..1.0).contains(&rate), "dropout rate {rate} is not in [0, 1)");
        Dropout { rate, purpose: purpose.into() }
    }
}

impl Layer for Dropout {
    fn forward<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Var<'t> {
        if !pass.is_training() || self.rate == 0.0 {
            return x;
        }
        x.dropout(self.rate, pass.philox(&self.purpose), pass.draw_rows())
    }
}

impl Module for Dropout {
    fn visit(&self, _f: &mut Visit<'_>) {}

    fn visit_mut(&mut self, _f: &mut VisitMut<'_>) {}
}
