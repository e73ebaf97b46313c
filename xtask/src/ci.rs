//! `cargo xtask ci`: the steps, cheapest first, and their runner.

use std::fmt::Write;
use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::Workspace;
use crate::{run, smoke, structure};

/// One check.
pub(crate) struct Step {
    name: &'static str,
    about: &'static str,
    /// Returns the word of the summary for it.
    check: fn() -> Result<&'static str>,
}

const OK: &str = "ok";
/// The test command that the README promises.
const TEST: &str = "test --workspace";
/// Property tests draw the same cases in every run of CI, so that a failure is due to the change. By hand they draw new
/// ones.
const SAME_CASES: (&str, &str) = ("PROPTEST_RNG_SEED", "1");

const fn step(
    name: &'static str,
    about: &'static str,
    check: fn() -> Result<&'static str>,
) -> Step {
    Step { name, about, check }
}

const STEPS: &[Step] = &[
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

/// Prints the steps in their order.
pub(crate) fn list() {
    for step in STEPS {
        println!("{:<8} {}", step.name, step.about);
    }
}

/// The named steps in the order of the table; all of them if none is named.
pub(crate) fn select(names: &[&str]) -> Result<Vec<&'static Step>> {
    if let Some(unknown) = names.iter().find(|name| !STEPS.iter().any(|step| step.name == **name)) {
        let known: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        bail!("no step `{unknown}`; the steps are {}", known.join(", "));
    }
    Ok(STEPS.iter().filter(|step| names.is_empty() || names.contains(&step.name)).collect())
}

/// Runs the steps up to the first failure, then prints how long each took.
pub(crate) fn run(steps: &[&Step]) -> Result<()> {
    let begin = Instant::now();
    let mut summary = String::new();
    let mut failure = None;
    for (index, Step { name, about, check }) in steps.iter().enumerate() {
        if failure.is_some() {
            let _ = writeln!(summary, "{name:<8} {:>8}    not run", "-");
            continue;
        }
        let (start, so_far) = (Instant::now(), begin.elapsed().as_secs_f64());
        println!("\n== {}/{} {name} ({so_far:.1} s so far): {about}", index + 1, steps.len());
        let result = check();
        let word = result.as_ref().unwrap_or(&"FAILED");
        let _ = writeln!(summary, "{name:<8} {:>8.1} s  {word}", start.elapsed().as_secs_f64());
        failure = result.err().map(|error| (name, error));
    }
    println!("\n== summary\n{summary}{:<8} {:>8.1} s", "total", begin.elapsed().as_secs_f64());
    match failure {
        None => Ok(()),
        Some((name, error)) => {
            bail!("step `{name}` failed: {error:#}\nrepeat it with: cargo xtask ci {name}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_steps_keep_the_order_of_the_table_and_unknown_ones_are_refused() {
        let names: Vec<&str> =
            select(&["smoke", "fmt"]).unwrap().iter().map(|step| step.name).collect();
        assert_eq!(names, ["fmt", "smoke"]);
        assert_eq!(select(&[]).unwrap().len(), STEPS.len());
        let error = select(&["fmt", "lint"]).err().unwrap().to_string();
        assert!(error.contains("`lint`") && error.contains("clippy"), "{error}");
    }

    #[test]
    fn the_first_failure_stops_the_run_and_is_named() {
        let good = step("good", "", || Ok(OK));
        let bad = step("bad", "", || bail!("out of order"));
        let after = step("after", "", || panic!("must not run"));
        assert!(run(&[&good]).is_ok());
        let error = format!("{:#}", run(&[&good, &bad, &after]).unwrap_err());
        assert_eq!(error, "step `bad` failed: out of order\nrepeat it with: cargo xtask ci bad");
    }

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
