//! `cargo xtask ci`: the steps, cheapest first, and their runner.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::run::{self, Outcome};
use crate::{package, readme, smoke, structure};

/// One check.
pub(crate) struct Step {
    name: &'static str,
    about: &'static str,
    work: Work,
}

enum Work {
    /// A cargo command: its arguments and environment.
    Cargo(&'static [&'static str], &'static [(&'static str, &'static str)]),
    /// Code of this program.
    Own(fn() -> Result<Outcome>),
}

const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        about: "the sources are formatted",
        work: Work::Cargo(&["fmt", "--all", "--check"], &[]),
    },
    Step {
        name: "layers",
        about: "crate graph, manifests and sources keep the rules of docs/architecture.md",
        work: Work::Own(|| structure::check().map(|()| Outcome::Done)),
    },
    Step {
        name: "clippy",
        about: "no compiler or clippy warning in any target",
        work: Work::Cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[]),
    },
    Step {
        name: "test",
        about: "the README's test command",
        work: Work::Own(|| readme::run_tests().map(|()| Outcome::Done)),
    },
    Step {
        name: "f64",
        about: "the same tests in double precision",
        work: Work::Cargo(
            &["test", "--workspace", "--features", "moe-core/f64"],
            &[run::SAME_CASES],
        ),
    },
    Step {
        name: "doc",
        about: "the documentation builds without a warning",
        work: Work::Cargo(&["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")]),
    },
    Step {
        name: "bench",
        about: "every benchmark runs once",
        work: Work::Cargo(&["bench", "-p", "benches", "--", "--test"], &[]),
    },
    Step {
        name: "package",
        about: "every library crate can be packaged",
        work: Work::Own(|| package::check().map(|()| Outcome::Done)),
    },
    Step {
        name: "deny",
        about: "licences, bans and sources of all dependencies, if cargo-deny is installed",
        work: Work::Own(deny),
    },
    Step {
        name: "smoke",
        about: "the `smoke` comparison runs and prints what the contract says",
        work: Work::Own(|| smoke::check().map(|()| Outcome::Done)),
    },
];

/// Advisories are left out: they need a database from the network.
fn deny() -> Result<Outcome> {
    if !run::cargo_succeeds(&["deny", "--version"]) {
        return Ok(Outcome::Skipped("cargo-deny is not installed".to_owned()));
    }
    run::cargo(&["deny", "check", "bans", "licenses", "sources"], &[])?;
    Ok(Outcome::Done)
}

impl Step {
    fn run(&self) -> Result<Outcome> {
        match self.work {
            Work::Cargo(args, env) => run::cargo(args, env).map(|()| Outcome::Done),
            Work::Own(check) => check(),
        }
    }

    /// The command that repeats this step alone.
    fn repeat(&self) -> String {
        match self.work {
            Work::Cargo(args, env) => run::line(args, env),
            Work::Own(_) => format!("cargo xtask ci {}", self.name),
        }
    }
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
    let mut summary = Vec::new();
    let mut failure = None;
    for (index, step) in steps.iter().enumerate() {
        let so_far = begin.elapsed().as_secs_f64();
        println!(
            "\n== {}/{} {} ({so_far:.1} s so far): {}",
            index + 1,
            steps.len(),
            step.name,
            step.about
        );
        let start = Instant::now();
        let result = step.run();
        let word = match &result {
            Ok(outcome) => outcome.to_string(),
            Err(_) => "FAILED".to_owned(),
        };
        summary.push((step.name, start.elapsed().as_secs_f64(), word));
        if let Err(error) = result {
            failure = Some((*step, error));
            break;
        }
    }
    println!("\n== summary");
    for (name, seconds, word) in &summary {
        println!("{name:<8} {seconds:>8.1} s  {word}");
    }
    for step in &steps[summary.len()..] {
        println!("{:<8} {:>8}    not run", step.name, "-");
    }
    println!("{:<8} {:>8.1} s", "total", begin.elapsed().as_secs_f64());
    match failure {
        None => Ok(()),
        Some((step, error)) => {
            bail!("step `{}` failed: {error:#}\nrepeat it with: {}", step.name, step.repeat())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(steps: &[&Step]) -> Vec<&'static str> {
        steps.iter().map(|step| step.name).collect()
    }

    #[test]
    fn named_steps_keep_the_order_of_the_table() {
        assert_eq!(names(&select(&["smoke", "fmt"]).unwrap()), ["fmt", "smoke"]);
        assert_eq!(select(&[]).unwrap().len(), STEPS.len());
    }

    #[test]
    fn an_unknown_step_is_refused_with_the_known_ones() {
        let error = select(&["fmt", "lint"]).err().unwrap().to_string();
        assert!(error.contains("`lint`") && error.contains("clippy"), "{error}");
    }

    #[test]
    fn the_first_failure_stops_the_run_and_is_named() {
        let step =
            |name, check: fn() -> Result<Outcome>| Step { name, about: "", work: Work::Own(check) };
        let good = step("good", || Ok(Outcome::Done));
        let bad = step("bad", || bail!("out of order"));
        let after = step("after", || panic!("must not run"));
        assert!(run(&[&good]).is_ok());
        let error = format!("{:#}", run(&[&good, &bad, &after]).unwrap_err());
        assert_eq!(error, "step `bad` failed: out of order\nrepeat it with: cargo xtask ci bad");
    }

    #[test]
    fn a_cargo_step_is_repeated_by_cargo_alone() {
        let doc = STEPS.iter().find(|step| step.name == "doc").unwrap();
        assert_eq!(doc.repeat(), "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps");
    }
}
