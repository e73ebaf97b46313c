//! The `smoke` comparison, run as a user would, and its JSON held against the contract.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::contract::Comparison;
use crate::run;

/// Runs the comparison and checks what it prints.
pub(crate) fn check() -> Result<()> {
    let out = TempFolder(std::env::temp_dir().join(format!("moe-smoke-{}", std::process::id())));
    let folder =
        out.0.to_str().context("the folder for temporary files has a name that is not text")?;
    let compare =
        "run --release -p moe-bench -- compare --preset smoke --format json --progress none --out";
    println!("$ cargo {compare} {folder}");
    let args: Vec<&str> = compare.split(' ').chain([folder]).collect();
    let report = Comparison::read(&run::stdout(&mut run::command(&args))?)
        .context("stdout breaks the contract moe.compare/1")?;
    println!("the JSON of {} runs keeps the contract", report.runs());
    Ok(())
}

/// Removed when it drops.
struct TempFolder(PathBuf);

impl Drop for TempFolder {
    fn drop(&mut self) {
        // It is missing when the run stopped early.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
