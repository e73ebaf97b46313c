//! Running programs, and what a check can end with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// How a check ended that found nothing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ran.
    Done,
    /// It could not run here, for this reason.
    Skipped(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done => f.write_str("ok"),
            Outcome::Skipped(reason) => write!(f, "skipped: {reason}"),
        }
    }
}

/// Property tests draw the same cases in every run of CI, so that a failure is due to the change. By hand they draw new
/// ones.
pub(crate) const SAME_CASES: (&str, &str) = ("PROPTEST_RNG_SEED", "1");

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable at run time too, which stays true when the checkout has moved.
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map(Path::to_path_buf).unwrap_or(own)
}

/// A cargo command as a person would type it.
pub(crate) fn line(args: &[&str], env: &[(&str, &str)]) -> String {
    let mut words: Vec<String> =
        env.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    words.push("cargo".to_owned());
    words.extend(args.iter().map(|arg| quoted(arg)));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    if word.is_empty() || word.contains(|c: char| c.is_whitespace() || "'\"$&;|*?<>()".contains(c))
    {
        format!("'{}'", word.replace('\'', r"'\''"))
    } else {
        word.to_owned()
    }
}

/// `cargo args..` at the root of the workspace.
pub(crate) fn command(args: &[&str], env: &[(&str, &str)]) -> Command {
    // By name and not by the variable CARGO: only the name understands `+nightly`.
    let mut command = Command::new("cargo");
    command.args(args).envs(env.iter().copied()).current_dir(root());
    command
}

/// Runs cargo with its output on the terminal.
pub(crate) fn cargo(args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    let line = line(args, env);
    println!("$ {line}");
    let status = command(args, env).status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Runs cargo and returns its stdout; stderr stays on the terminal.
pub(crate) fn cargo_stdout(args: &[&str]) -> Result<String> {
    let line = line(args, &[]);
    let output = command(args, &[])
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{line}` printed something other than text"))
}

/// Whether `cargo args..` succeeds; prints nothing.
pub(crate) fn cargo_succeeds(args: &[&str]) -> bool {
    command(args, &[])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_pasted_into_a_shell() {
        assert_eq!(
            line(&["doc", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")]),
            "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps"
        );
        assert_eq!(line(&["run", "it's"], &[]), r"cargo run 'it'\''s'");
    }
}
