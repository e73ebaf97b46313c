//! `cargo xtask performance`: the table of `docs/performance.md`, measured here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run;

const PAGE: &str = "docs/performance.md";
/// Around the tables in the page.
const BEGIN: &str = "<!-- tables: cargo xtask performance -->";
const END: &str = "<!-- end of tables -->";

/// How often either side is measured, in turns.
const ROUNDS: usize = 2;

/// What is measured, apart from the variant: the benchmark, threads, experts and K.
type Place = (String, u64, u64, u64);

/// The times of one side: milliseconds by place and variant.
#[derive(Default)]
struct Times {
    of: BTreeMap<(Place, String), Vec<Measured>>,
    gflops: BTreeMap<u64, f64>,
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
        let peers = ["run", "--release", "-p", "benches", "--bin", "peers", "--", "--rounds", "4"];
        println!("$ {}", run::line(&peers, &[]));
        ours.read(&run::cargo_stdout(&peers)?)?;
        for (bench, threads) in [("movielens", "1"), ("movielens", "2"), ("ffn", "1"), ("ffn", "2")]
        {
            if let Some(script) = script {
                torch.read(&python(Path::new(script), bench, threads)?)?;
            }
        }
    }
    let tables = tables(&ours, script.map(|_| &torch));
    std::fs::write(&page, format!("{before}{BEGIN}\n\n{tables}\n{END}{after}"))
        .with_context(|| format!("cannot write {PAGE}"))?;
    println!("{PAGE} has the new tables");
    Ok(())
}

fn python(script: &Path, bench: &str, threads: &str) -> Result<String> {
    let mut command = Command::new("python3");
    command.arg(script).args(["--bench", bench, "--threads", threads, "--variants", "sparse"]);
    if bench == "ffn" {
        command.args(["--experts", "8", "16", "32", "64", "128"]);
    }
    println!("$ {command:?}");
    let output = command.stderr(Stdio::inherit()).output().context("cannot start python3")?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    String::from_utf8(output.stdout).context("the script printed something other than text")
}

impl Times {
    /// Takes the JSON lines of either side in.
    fn read(&mut self, lines: &str) -> Result<()> {
        for line in lines.lines() {
            let value: Value = serde_json::from_str(line)
                .with_context(|| format!("not a line of JSON: {line}"))?;
            let number = |key: &str| value[key].as_f64();
            let whole = |key: &str| value[key].as_u64().unwrap_or(0);
            let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
            let threads = whole("threads");
            if let Some(gflops) = number("gflops") {
                self.gflops.insert(threads, gflops);
            }
            let Some(ms) = number("ms") else { continue };
            // Of inference both sides leave K out: it is 2.
            let k = value["k"].as_u64().unwrap_or(2);
            let place = (text("bench"), threads, whole("experts"), k);
            let measured = Measured { ms, of_limit: number("of_limit") };
            self.of.entry((place, text("variant"))).or_default().push(measured);
        }
        Ok(())
    }

    /// The least of the medians.
    fn best(&self, place: &Place, variant: &str) -> Option<Measured> {
        let all = self.of.get(&(place.clone(), variant.to_owned()))?;
        all.iter().copied().min_by(|a, b| a.ms.total_cmp(&b.ms))
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
    for (place, variant) in ours.of.keys() {
        let (bench, threads, experts, k) = place;
        let Some(Measured { ms, of_limit }) = ours.best(place, variant) else { continue };
        let of_limit = of_limit.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
        let theirs = torch
            .zip(counterpart(bench, variant))
            .and_then(|(torch, variant)| torch.best(place, variant));
        let (peer, ratio) = theirs.map_or_else(
            || ("-".into(), "-".into()),
            |theirs| (format!("{:.3}", theirs.ms), format!("{:.2}", theirs.ms / ms)),
        );
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
