//! Loops over one row, in the widest registers of the machine.

use crate::real::Real;

use super::raw::wide::{Loops, wide};

struct AddScaled<'a> {
    out: &'a mut [Real],
    factor: Real,
    x: &'a [Real],
}

impl Loops for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.out.iter_mut().zip(self.x).for_each(|(out, x)| *out += self.factor * x);
    }
}

/// `out += factor x`, up to the end of the shorter slice.
pub(crate) fn add_scaled(out: &mut [Real], factor: Real, x: &[Real]) {
    wide(AddScaled { out, factor, x });
}

struct SetScaled<'a> {
    out: &'a mut [Real],
    factor: Real,
    x: &'a [Real],
}

impl Loops for SetScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.out.iter_mut().zip(self.x).for_each(|(out, x)| *out = self.factor * x);
    }
}

/// `out = factor x`, up to the end of the shorter slice.
pub(crate) fn set_scaled(out: &mut [Real], factor: Real, x: &[Real]) {
    wide(SetScaled { out, factor, x });
}

/// `out += x`, up to the end of the shorter slice.
pub fn add(out: &mut [Real], x: &[Real]) {
    add_scaled(out, 1.0, x);
}
