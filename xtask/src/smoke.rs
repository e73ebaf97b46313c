//! The `smoke` comparison, run as a user would, and its JSON held against the contract.

use anyhow::{Context, Result};

use crate::contract::Comparison;
use crate::run;

/// Runs the comparison and checks what it prints.
pub(crate) fn check() -> Result<()> {
    let out = tempfile::Builder::new().prefix("moe-smoke-").tempdir();
    let out = out.context("cannot make a folder for temporary files")?;
    let folder = out.path().to_str();
    let folder = folder.context("the folder for temporary files has a name that is not text")?;
    let compare =
        "run --release -p moe-bench -- compare --preset smoke --format json --progress none --out";
    println!("$ cargo {compare} {folder}");
    let args: Vec<&str> = compare.split(' ').chain([folder]).collect();
    let report = Comparison::read(&run::stdout(&mut run::command(&args))?)
        .context("stdout breaks the contract moe.compare/1")?;
    println!("the JSON of {} runs keeps the contract", report.runs());
    Ok(())
}
