//! Running cargo.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable at run time too, which stays true when the checkout has moved.
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map(Path::to_path_buf).unwrap_or(own)
}

/// `cargo args..` at the root of the workspace.
pub(crate) fn command(args: &[&str]) -> Command {
    // By name and not by the variable CARGO: only the name understands `+nightly`.
    let mut command = Command::new("cargo");
    command.args(args).current_dir(root());
    command
}

/// Runs cargo with its output on the terminal.
pub(crate) fn cargo(args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    let line = format!("cargo {}", args.join(" "));
    let set: String = env.iter().map(|(name, value)| format!("{name}='{value}' ")).collect();
    println!("$ {set}{line}");
    let status = command(args).envs(env.iter().copied()).status();
    let status = status.with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Runs a program and returns its stdout; stderr stays on the terminal.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{command:?} printed something other than text"))
}
