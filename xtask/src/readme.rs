//! The README promises a test command; this runs what it says.

use anyhow::{Context, Result, bail};

use crate::run;

const PROMISED: &str = "cargo test --workspace";

/// Runs the test command that stands in `README.md`.
pub(crate) fn run_tests() -> Result<()> {
    let readme =
        std::fs::read_to_string(run::root().join("README.md")).context("cannot read README.md")?;
    let command = test_command(&readme)?;
    let args: Vec<&str> = command.split_whitespace().skip(1).collect();
    run::cargo(&args, &[run::SAME_CASES])
}

/// The first line in a code block that starts with `cargo test`, without its comment.
fn test_command(readme: &str) -> Result<&str> {
    let mut in_block = false;
    for line in readme.lines().map(str::trim) {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block && line.starts_with("cargo test") {
            let command = line.split('#').next().unwrap_or(line).trim();
            if command != PROMISED {
                bail!("README.md tests with `{command}`; `{PROMISED}` must do");
            }
            return Ok(command);
        }
    }
    bail!("no code block of README.md has a line `{PROMISED}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_command_in_a_code_block() {
        let readme =
            "cargo test --wrong\n\n```sh\ncargo run\ncargo test --workspace  # all of it\n```\n";
        assert_eq!(test_command(readme).unwrap(), "cargo test --workspace");
    }

    #[test]
    fn refuses_a_missing_or_other_command() {
        assert!(test_command("cargo test --workspace\n").is_err(), "outside a block");
        assert!(test_command("```\ncargo test\n```\n").is_err());
        assert!(test_command("```\ncargo test --workspace --all-features\n```\n").is_err());
    }
}
