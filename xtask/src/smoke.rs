//! Comparisons run as a user would, and their JSON held against the contract.

use anyhow::{Context, Result, ensure};

use crate::contract::Comparison;
use crate::run;

/// The most training steps of all runs of the default comparison, which is to end within 90 seconds on two idle cores.
const MOST_STEPS: u64 = 170_000;

/// Runs the smallest comparison and checks what it prints.
pub(crate) fn check() -> Result<()> {
    let reports = reports("compare --preset smoke")?;
    let runs: usize = reports.iter().map(Comparison::runs).sum();
    println!("the JSON of {runs} runs keeps the contract");
    Ok(())
}

/// Runs the default comparison, and checks that it is not too long and that its runs converge.
pub(crate) fn check_default() -> Result<()> {
    let reports = reports("compare")?;
    let steps: u64 = reports.iter().map(Comparison::steps).sum();
    let runs: usize = reports.iter().map(Comparison::runs).sum();
    let capped = reports.iter().map(Comparison::capped).sum::<Result<usize>>()?;
    println!("{runs} runs took {steps} steps; {capped} ended at the last epoch");
    ensure!(steps <= MOST_STEPS, "{steps} training steps, at most {MOST_STEPS} are allowed");
    ensure!(
        4 * capped <= runs,
        "{capped} of {runs} runs ended at the last epoch, at most a quarter may"
    );
    Ok(())
}

/// What the command prints as JSON.
fn reports(command: &str) -> Result<Vec<Comparison>> {
    let out = tempfile::Builder::new().prefix("moe-smoke-").tempdir();
    let out = out.context("cannot make a folder for temporary files")?;
    let folder = out.path().to_str();
    let folder = folder.context("the folder for temporary files has a name that is not text")?;
    let line = format!(
        "run --release -p moe-bench -- {command} --format json --jobs 2 --progress none --out"
    );
    println!("$ cargo {line} {folder}");
    let args: Vec<&str> = line.split(' ').chain([folder]).collect();
    Comparison::read_all(&run::stdout(&mut run::command(&args))?)
        .context("stdout breaks the contract moe.compare/1")
}
