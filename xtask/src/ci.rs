//! `cargo xtask ci`: everything that must hold before a change lands.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::steps::{Step, step};
use crate::workspace::Workspace;
use crate::{run, smoke, structure};

pub(crate) const OK: &str = "ok";
/// The test command that the README promises.
const TEST: &str = "test --workspace";
/// Property tests draw the same cases in every run of CI, so that a failure is due to the change. By hand they draw new
/// ones.
const SAME_CASES: (&str, &str) = ("PROPTEST_RNG_SEED", "1");

/// The steps, cheapest first.
pub(crate) const STEPS: &[Step] = &[
    step("fmt", "check formatting", || cargo("fmt --all --check", &[])),
    step("layers", "check crate graph, manifests and sources against docs/architecture.md", || {
        structure::check().map(|()| OK)
    }),
    step("clippy", "refuse every compiler or clippy warning in any target", || {
        cargo("clippy --workspace --all-targets -- -D warnings", &[])
    }),
    step("test", "run the README's test command", test),
    step("f64", "run the same tests in double precision", || {
        cargo("test --workspace --features moe-core/f64", &[SAME_CASES])
    }),
    step("doc", "build the documentation without a warning", || {
        cargo("doc --workspace --no-deps", &[("RUSTDOCFLAGS", "-D warnings")])
    }),
    step("bench", "run every benchmark once", || cargo("bench -p benches -- --test", &[])),
    step("package", "package every library crate", package),
    step(
        "deny",
        "check licences, bans and sources of dependencies with cargo-deny, if installed",
        deny,
    ),
    step("smoke", "run the `smoke` comparison and hold its JSON against the contract", || {
        smoke::check().map(|()| OK)
    }),
    step("default", "run the default comparison within its number of training steps", || {
        smoke::check_default().map(|()| OK)
    }),
];

fn cargo(args: &str, env: &[(&str, &str)]) -> Result<&'static str> {
    run::cargo(&args.split(' ').collect::<Vec<_>>(), env).map(|()| OK)
}

fn test() -> Result<&'static str> {
    let readme =
        fs::read_to_string(run::root().join("README.md")).context("cannot read README.md")?;
    promises_test(&readme)?;
    cargo(TEST, &[SAME_CASES])
}

/// Checks that [`TEST`] is the first test command among the README's commands.
fn promises_test(readme: &str) -> Result<()> {
    let mut commands = readme.split("```").skip(1).step_by(2).flat_map(str::lines);
    let command = commands.find(|line| line.starts_with("cargo test"));
    let command = command.and_then(|line| line.split('#').next()).map(str::trim);
    let promised = format!("cargo {TEST}");
    ensure!(command == Some(&promised), "README.md must test with `{promised}`, not {command:?}");
    Ok(())
}

/// Packages all in one invocation, so that crates which depend on an unpublished sibling find it.
fn package() -> Result<&'static str> {
    let workspace = Workspace::load(&run::root())?;
    let mut args = vec!["package", "--no-verify", "--allow-dirty"];
    for package in workspace.packages.iter().filter(|package| package.is_publishable()) {
        args.extend(["-p", &package.name]);
    }
    ensure!(args.contains(&"-p"), "the workspace has no publishable package");
    run::cargo(&args, &[]).map(|()| OK)
}

/// Returns whether `cargo args..` succeeds; prints nothing.
fn is_installed(args: &[&str]) -> bool {
    run::command(args).output().is_ok_and(|output| output.status.success())
}

/// Advisories are left out: they need a database from the network.
fn deny() -> Result<&'static str> {
    if !is_installed(&["deny", "--version"]) {
        return Ok("skipped: cargo-deny is not installed");
    }
    cargo("deny check bans licenses sources", &[])
}

/// Runs the tests of the unsafe kernels under miri, which finds undefined behaviour.
pub(crate) fn miri() -> Result<&'static str> {
    if !is_installed(&["+nightly", "miri", "--version"]) {
        return Ok("skipped: no nightly toolchain with miri is installed");
    }
    cargo("+nightly miri test -p moe-core kernel::raw", &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_the_test_command_in_a_code_block() {
        let readme =
            "cargo test --wrong\n\n```sh\ncargo run\ncargo test --workspace  # all of it\n```\n";
        assert!(promises_test(readme).is_ok());
        for readme in [
            "cargo test --workspace\n",
            "```\ncargo test\n```\n",
            "```\ncargo test --workspace --all-features\n```\n",
        ] {
            assert!(promises_test(readme).is_err(), "{readme}");
        }
    }
}
