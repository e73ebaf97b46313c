use moe_core::random::DropoutDraws;
use moe_core::tape::Var;
use moe_core::{Pass, Real, Visit, VisitMut};

use crate::layers::forward::Forward;
use crate::layers::layer::Layer;
use crate::module::Module;

/// Dropout: in training, sets elements to 0 with some probability and scales the others to keep the mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    rate: Real,
    purpose: String,
}

impl Dropout {
    /// Dropout with probability `rate`. Two dropout layers with the same `purpose` drop the same elements of a row in a
    /// step, so give each its own.
    ///
    /// # Panics
    /// If `rate` is not in [0, 1).
    pub fn new(rate: Real, purpose: impl Into<String>) -> Self {
        assert!((0.0..1.0).contains(&rate), "dropout rate {rate} is not in [0, 1)");
        Dropout { rate, purpose: purpose.into() }
    }

    /// The random draws of this pass; `None` if nothing is dropped.
    pub(crate) fn draws<'p>(&self, pass: &Pass<'p>) -> Option<DropoutDraws<'p>> {
        let drops = pass.is_training() && self.rate > 0.0;
        let draws = || {
            let philox = pass.philox(&self.purpose);
            DropoutDraws { rate: self.rate, philox, rows: pass.draw_rows() }
        };
        drops.then(draws)
    }

    /// Drops elements of `x`, whose rows are those of `pass`.
    pub(crate) fn apply<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Var<'t> {
        match self.draws(pass) {
            Some(DropoutDraws { rate, philox, rows }) => x.dropout(rate, philox, rows),
            None => x,
        }
    }
}

impl Layer for Dropout {
    fn forward<'t>(&self, pass: &Forward<'_, 't>, x: Var<'t>) -> Var<'t> {
        self.apply(pass, x)
    }
}

impl Module for Dropout {
    fn visit(&self, _f: &mut Visit<'_>) {}

    fn visit_mut(&mut self, _f: &mut VisitMut<'_>) {}
}
