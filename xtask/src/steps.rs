//! Named checks that run one after the other, and how long each took.

use std::fmt::Write;
use std::time::Instant;

use anyhow::{Result, bail};

/// One check.
pub(crate) struct Step {
    name: &'static str,
    about: &'static str,
    /// Returns the word of the summary for it.
    check: fn() -> Result<&'static str>,
}

pub(crate) const fn step(
    name: &'static str,
    about: &'static str,
    check: fn() -> Result<&'static str>,
) -> Step {
    Step { name, about, check }
}

/// Prints the steps in their order.
pub(crate) fn list(steps: &[Step]) {
    for step in steps {
        println!("{:<10} {}", step.name, step.about);
    }
}

/// The named steps in the order of the table; all of them if none is named.
pub(crate) fn select<'s>(steps: &'s [Step], names: &[&str]) -> Result<Vec<&'s Step>> {
    if let Some(unknown) = names.iter().find(|name| !steps.iter().any(|step| step.name == **name)) {
        let known: Vec<&str> = steps.iter().map(|step| step.name).collect();
        bail!("no step `{unknown}`; the steps are {}", known.join(", "));
    }
    Ok(steps.iter().filter(|step| names.is_empty() || names.contains(&step.name)).collect())
}

/// Runs the steps up to the first failure, then prints how long each took.
pub(crate) fn run(verb: &str, steps: &[&Step]) -> Result<()> {
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
            bail!("step `{name}` failed: {error:#}\nrepeat it with: cargo xtask {verb} {name}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ci::{OK, STEPS};

    #[test]
    fn named_steps_keep_the_order_of_the_table_and_unknown_ones_are_refused() {
        let names: Vec<&str> =
            select(STEPS, &["smoke", "fmt"]).unwrap().iter().map(|step| step.name).collect();
        assert_eq!(names, ["fmt", "smoke"]);
        assert_eq!(select(STEPS, &[]).unwrap().len(), STEPS.len());
        let error = select(STEPS, &["fmt", "lint"]).err().unwrap().to_string();
        assert!(error.contains("`lint`") && error.contains("clippy"), "{error}");
    }

    #[test]
    fn the_first_failure_stops_the_run_and_is_named() {
        let good = step("good", "", || Ok(OK));
        let bad = step("bad", "", || bail!("out of order"));
        let after = step("after", "", || panic!("must not run"));
        assert!(run("ci", &[&good]).is_ok());
        let error = format!("{:#}", run("ci", &[&good, &bad, &after]).unwrap_err());
        assert_eq!(error, "step `bad` failed: out of order\nrepeat it with: cargo xtask ci bad");
    }
}
