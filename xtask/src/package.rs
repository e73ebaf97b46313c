//! The library crates as they would be published.

use anyhow::{Result, ensure};

use crate::run;
use crate::workspace::Workspace;

/// Packages every publishable member of the workspace in one invocation, so that crates which stand
/// on an unpublished sibling find it.
pub(crate) fn check() -> Result<()> {
    let workspace = Workspace::load()?;
    let names: Vec<&str> = workspace
        .packages
        .iter()
        .filter(|package| package.publishable)
        .map(|package| package.name.as_str())
        .collect();
    ensure!(!names.is_empty(), "the workspace has no publishable package");
    let mut args = vec!["package", "--no-verify", "--allow-dirty"];
    for name in names {
        args.extend(["-p", name]);
    }
    run::cargo(&args, &[])
}
