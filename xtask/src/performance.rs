//! `cargo xtask performance`: measures the tables of `docs/performance.md`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::run;

const PAGE: &str = "docs/performance.md";
/// Lines around the tables in the page.
const BEGIN: &str = "<!-- tables: cargo xtask performance -->";
const END: &str = "<!-- end of tables -->";

/// Number of measurements of each side, in turn.
const ROUNDS: usize = 2;
const PEERS: &str = "run --release -p benches --bin peers -- --rounds 4";

/// A measurement: the benchmark, threads, experts, K and the variant.
type Case = (String, u64, u64, u64, String);

/// The smallest medians of one side.
#[derive(Default)]
struct Times {
    of: BTreeMap<Case, Measured>,
    gflops: BTreeMap<u64, f64>,
}

/// A line of either side. Lines of limits and of memory lack some fields.
#[derive(Deserialize)]
struct Line {
    bench: String,
    threads: u64,
    #[serde(default)]
    experts: u64,
    k: Option<u64>,
    #[serde(default)]
    variant: String,
    ms: Option<f64>,
    of_limit: Option<f64>,
    gflops: Option<f64>,
}

#[derive(Clone, Copy)]
struct Measured {
    ms: f64,
    of_limit: Option<f64>,
}

/// Measures this workspace, and PyTorch with `script` if it is given, and rewrites the tables.
pub(crate) fn measure(script: Option<&str>) -> Result<()> {
    let page = run::root().join(PAGE);
    let text = std::fs::read_to_string(&page).with_context(|| format!("cannot read {PAGE}"))?;
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("{PAGE} lacks {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PAGE} lacks {END}"))?;
    let (mut ours, mut torch) = (Times::default(), Times::default());
    for _ in 0..ROUNDS {
        ours.read(&stdout(run::command(&PEERS.split(' ').collect::<Vec<_>>()))?)?;
        let Some(script) = script else { continue };
        for (bench, threads) in [("movielens", "1"), ("movielens", "2"), ("ffn", "1"), ("ffn", "2")]
        {
            let mut python = Command::new("python3");
            python.args([script, "--bench", bench, "--threads", threads, "--variants", "sparse"]);
            if bench == "ffn" {
                python.args(["--experts", "8", "16", "32", "64", "128"]);
            }
            torch.read(&stdout(python)?)?;
        }
    }
    let tables = tables(&ours, script.map(|_| &torch));
    std::fs::write(&page, format!("{before}{BEGIN}\n\n{tables}\n{END}{after}"))
        .with_context(|| format!("cannot write {PAGE}"))?;
    println!("{PAGE} has the new tables");
    Ok(())
}

fn stdout(mut command: Command) -> Result<String> {
    println!("$ {command:?}");
    run::stdout(&mut command)
}

impl Times {
    /// Adds the JSON lines of a side.
    fn read(&mut self, lines: &str) -> Result<()> {
        for text in lines.lines() {
            let line: Line = serde_json::from_str(text)
                .with_context(|| format!("not a line of the measurements: {text}"))?;
            if let Some(gflops) = line.gflops {
                self.gflops.insert(line.threads, gflops);
            }
            let Some(ms) = line.ms else { continue };
            // Both sides leave K out of inference: it is 2.
            let k = line.k.unwrap_or(2);
            let case = (line.bench, line.threads, line.experts, k, line.variant);
            let measured = Measured { ms, of_limit: line.of_limit };
            let best = self.of.entry(case).or_insert(measured);
            if ms < best.ms {
                *best = measured;
            }
        }
        Ok(())
    }
}

/// The variant of PyTorch that does the same work.
fn counterpart(bench: &str, variant: &str) -> Option<&'static str> {
    match (bench, variant) {
        ("movielens_step", "top-k") => Some("sparse/adam_fused"),
        ("movielens_infer", "top-k/b512") => Some("sparse/b512"),
        ("movielens_infer", "top-k/b1") => Some("sparse/b1"),
        ("ffn", "sparse") => Some("sparse"),
        _ => None,
    }
}

fn tables(ours: &Times, torch: Option<&Times>) -> String {
    let mut text = String::new();
    for (threads, gflops) in &ours.gflops {
        let _ = writeln!(text, "Limit with {threads} thread(s): {gflops:.0} GFLOP/s.");
    }
    let _ = writeln!(
        text,
        "\n| what | experts | K | threads | ms | of the limit | PyTorch, ms | PyTorch / this |\n\
         |---|---|---|---|---|---|---|---|"
    );
    let or_dash = |number: Option<String>| number.unwrap_or_else(|| "-".into());
    for (case, Measured { ms, of_limit }) in &ours.of {
        let (bench, threads, experts, k, variant) = case;
        let of_limit = or_dash(of_limit.map(|ratio| format!("{ratio:.2}")));
        let theirs = torch.zip(counterpart(bench, variant)).and_then(|(torch, variant)| {
            torch.of.get(&(bench.clone(), *threads, *experts, *k, variant.to_owned()))
        });
        let peer = or_dash(theirs.map(|theirs| format!("{:.3}", theirs.ms)));
        let ratio = or_dash(theirs.map(|theirs| format!("{:.2}", theirs.ms / ms)));
        let _ = writeln!(
            text,
            "| {bench} {variant} | {experts} | {k} | {threads} | {ms:.3} | {of_limit} | {peer} | {ratio} |"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = r#"{"bench":"limits","threads":1,"gflops":100.0}
{"bench":"movielens_step","threads":1,"experts":16,"k":2,"variant":"top-k","ms":20.0,"of_limit":2.0}
{"bench":"movielens_step","threads":1,"experts":16,"k":2,"variant":"top-k","ms":10.0,"of_limit":1.0}
{"bench":"ffn","threads":1,"experts":8,"k":4,"variant":"sparse","ms":7.0,"of_limit":1.5}"#;

    #[test]
    fn a_table_has_both_sides_where_they_do_the_same() {
        let (mut ours, mut torch) = (Times::default(), Times::default());
        ours.read(OURS).expect("lines of JSON");
        torch
            .read(r#"{"bench":"movielens_step","threads":1,"experts":16,"k":2,"variant":"sparse/adam_fused","ms":30.0}"#)
            .expect("a line of JSON");
        let text = tables(&ours, Some(&torch));
        assert!(text.contains("Limit with 1 thread(s): 100 GFLOP/s."), "{text}");
        let row = "| movielens_step top-k | 16 | 2 | 1 | 10.000 | 1.00 | 30.000 | 3.00 |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("| ffn sparse | 8 | 4 | 1 | 7.000 | 1.50 | - | - |"), "{text}");
    }

    #[test]
    fn something_else_than_json_is_an_error() {
        let error = Times::default().read("ms 3").expect_err("no JSON");
        assert!(error.to_string().contains("ms 3"));
    }
}
