//! Loops over one row, in the widest registers of the machine.

use crate::real::Real;

use super::raw::{Loops, wide};

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

/// `out += factor x`, as far as the shorter one reaches.
pub fn add_scaled(out: &mut [Real], factor: Real, x: &[Real]) {
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

/// `out = factor x`, as far as the shorter one reaches.
pub fn set_scaled(out: &mut [Real], factor: Real, x: &[Real]) {
    wide(SetScaled { out, factor, x });
}

/// `out += x`, as far as the shorter one reaches.
pub fn add(out: &mut [Real], x: &[Real]) {
    add_scaled(out, 1.0, x);
}
