//! Ranges of the numbers of a configuration, checked in the precision of the build.

use std::path::Path;

use moe_core::Real;

use crate::error::Error;

const PRECISION: &str =
    if size_of::<Real>() == 8 { "in double precision" } else { "in single precision" };

/// The value in the precision of this build.
pub(crate) fn computed(value: f64) -> f64 {
    f64::from(value as Real)
}

/// What a number must be in the precision of this build: 1 - 1e-12 is 1 in single precision.
#[derive(Clone, Copy)]
pub(crate) enum Range {
    /// In [0, 1).
    Fraction,
    /// Above 0 and finite.
    Positive,
    /// 0 or more and finite.
    NotNegative,
}

impl Range {
    /// Refuses a value of `key` outside the range.
    pub(crate) fn check(self, key: &str, value: f64) -> Result<(), Error> {
        let computed = computed(value);
        let (fits, allowed) = match self {
            Range::Fraction => ((0.0..1.0).contains(&computed), "in [0, 1)"),
            Range::Positive => (computed > 0.0 && computed.is_finite(), "positive and finite"),
            Range::NotNegative => (value >= 0.0 && computed.is_finite(), "0 or more and finite"),
        };
        if fits { Ok(()) } else { Err(out_of_range(key, value, &format!("{allowed} {PRECISION}"))) }
    }
}

/// The error for a path that cannot be written to a TOML file.
pub(crate) fn not_utf8(key: &str, path: &Path) -> Error {
    out_of_range(key, path, "UTF-8, so that it can be written to a TOML file")
}

/// The error for a value of `key` that is not allowed.
pub(crate) fn out_of_range(key: &str, value: impl std::fmt::Debug, allowed: &str) -> Error {
    Error::Config(format!("{key} = {value:?} is not allowed; it must be {allowed}"))
}
