//! `cargo xtask miri`: the unsafe kernels under the interpreter that finds undefined behaviour.

use anyhow::Result;

use crate::run::{self, Outcome};

/// Runs the tests of `kernel::raw` under miri, if a nightly toolchain has it.
pub(crate) fn check() -> Result<Outcome> {
    if !run::cargo_succeeds(&["+nightly", "miri", "--version"]) {
        return Ok(Outcome::Skipped("no nightly toolchain with miri is installed".to_owned()));
    }
    run::cargo(&["+nightly", "miri", "test", "-p", "moe-core", "kernel::raw"], &[])?;
    Ok(Outcome::Done)
}
