//! The `smoke` comparison, run as a user would, and its JSON held against the contract.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run;

/// Runs the comparison and checks what it prints.
pub(crate) fn check() -> Result<()> {
    let out = TempFolder(std::env::temp_dir().join(format!("moe-smoke-{}", std::process::id())));
    let folder =
        out.0.to_str().context("the folder for temporary files has a name that is not text")?;
    let compare =
        "run --release -p moe-bench -- compare --preset smoke --format json --progress none --out";
    let args: Vec<&str> = compare.split(' ').chain([folder]).collect();
    println!("$ {}", run::line(&args, &[]));
    let text = run::cargo_stdout(&args)?;
    let report: Value = serde_json::from_str(&text).context("stdout is not one JSON object")?;
    let problems = problems(&report);
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        bail!("the JSON breaks the contract in {} places", problems.len());
    }
    println!("the JSON of {} runs keeps the contract", list(&report, "/runs"));
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

/// Everything in which a report breaks the contract `moe.compare/1`.
fn problems(report: &Value) -> Vec<String> {
    let mut check = Check { report, problems: Vec::new() };
    check.rule("/schema", "\"moe.compare/1\"", |v| v == "moe.compare/1");
    check.text("/dataset/name");
    check.some("/dataset/tasks");
    for split in ["train", "val", "test"] {
        check.rule(&format!("/dataset/rows/{split}"), "a count above 0", |v| v.as_u64() > Some(0));
    }
    check.rule("/config", "an object", Value::is_object);
    check.rule("/host/threads", "a count above 0", |v| v.as_u64() > Some(0));

    let mut tasks = BTreeMap::new();
    for index in 0..list(report, "/dataset/tasks") {
        let at = format!("/dataset/tasks/{index}");
        let name = check.text(&format!("{at}/name"));
        if let (Some(name), Some(kind)) = (name, check.text(&format!("{at}/kind"))) {
            tasks.insert(name, kind);
        }
    }

    check.some("/runs");
    let mut routers = BTreeMap::new();
    for index in 0..list(report, "/runs") {
        let at = format!("/runs/{index}");
        if let Some(router) = check.text(&format!("{at}/router")) {
            *routers.entry(router).or_insert(0u64) += 1;
        }
        check.run(&at, &tasks);
    }

    check.some("/summary");
    let mut summed = Vec::new();
    for index in 0..list(report, "/summary") {
        let at = format!("/summary/{index}");
        let Some(router) = check.text(&format!("{at}/router")) else {
            continue;
        };
        let runs = routers.get(router).copied();
        check.rule(&format!("{at}/runs"), &format!("the number of runs of `{router}`"), |v| {
            runs.is_some() && v.as_u64() == runs
        });
        check.summary(&at, runs.unwrap_or(0));
        summed.push(router);
    }
    for router in routers.keys() {
        let times = summed.iter().filter(|name| *name == router).count();
        if times != 1 {
            check
                .problems
                .push(format!("/summary: `{router}` stands there {times} times, not once"));
        }
    }
    check.problems
}

/// Length of the list at a place, 0 if there is none.
fn list(report: &Value, at: &str) -> usize {
    report.pointer(at).and_then(Value::as_array).map_or(0, Vec::len)
}

fn is_finite(value: &Value) -> bool {
    value.as_f64().is_some_and(f64::is_finite)
}

fn is_fraction(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| (0.0..=1.0).contains(&number))
}

fn is_not_negative(value: &Value) -> bool {
    is_finite(value) && value.as_f64() >= Some(0.0)
}

struct Check<'a> {
    report: &'a Value,
    problems: Vec<String>,
}

impl<'a> Check<'a> {
    /// Notes a problem unless the value at `at` exists and holds.
    fn rule(&mut self, at: &str, expected: &str, holds: impl Fn(&Value) -> bool) {
        match self.report.pointer(at) {
            None => self.problems.push(format!("{at}: missing; expected {expected}")),
            Some(value) if !holds(value) => {
                let mut shown = value.to_string();
                if shown.chars().count() > 60 {
                    shown = shown.chars().take(60).chain(['…']).collect();
                }
                self.problems.push(format!("{at}: {shown}; expected {expected}"));
            }
            Some(_) => {}
        }
    }

    fn text(&mut self, at: &str) -> Option<&'a str> {
        self.rule(at, "a text that is not empty", |v| {
            v.as_str().is_some_and(|text| !text.is_empty())
        });
        self.report.pointer(at).and_then(Value::as_str)
    }

    fn some(&mut self, at: &str) {
        self.rule(at, "a list that is not empty", |v| {
            v.as_array().is_some_and(|list| !list.is_empty())
        });
    }

    fn run(&mut self, at: &str, tasks: &BTreeMap<&str, &str>) {
        for field in [
            "seed",
            "num_experts",
            "k",
            "parameters",
            "epochs",
            "best_epoch",
            "steps",
            "routing/dead_experts",
        ] {
            self.rule(&format!("{at}/{field}"), "a count", Value::is_u64);
        }
        for field in ["val_loss", "test/loss"] {
            self.rule(&format!("{at}/{field}"), "a finite number", is_finite);
        }
        for field in [
            "routing/experts_per_row_train",
            "routing/experts_per_row_eval",
            "routing/load_entropy",
            "routing/max_load",
            "seconds",
            "steps_per_second",
        ] {
            self.rule(&format!("{at}/{field}"), "a finite number, not negative", is_not_negative);
        }
        self.rule(&format!("{at}/test/tasks"), "one entry for each task of the data set", |v| {
            v.as_object().is_some_and(|found| {
                found.len() == tasks.len()
                    && found.keys().all(|name| tasks.contains_key(name.as_str()))
            })
        });
        for (name, kind) in tasks {
            let at = format!("{at}/test/tasks/{}", name.replace('~', "~0").replace('/', "~1"));
            self.rule(&format!("{at}/loss"), "a finite number", is_finite);
            match *kind {
                "binary" => {
                    self.rule(&format!("{at}/auc"), "a number from 0 to 1, or null", |v| v.is_null() || is_fraction(v));
                    self.rule(&format!("{at}/accuracy"), "a number from 0 to 1", is_fraction);
                }
                "multiclass" => self.rule(&format!("{at}/accuracy"), "a number from 0 to 1", is_fraction),
                "regression" => self.rule(&format!("{at}/mse"), "a finite number, not negative", is_not_negative),
                _ => self.problems.push(format!(
                    "/dataset/tasks: `{name}` has the kind `{kind}`; expected binary, multiclass or regression"
                )),
            }
        }
    }

    /// With one run there is no spread to report, so that null is allowed there.
    fn summary(&mut self, at: &str, runs: u64) {
        let spread = |v: &Value| is_not_negative(v) || runs < 2 && v.is_null();
        self.rule(&format!("{at}/test_loss/mean"), "a finite number", is_finite);
        self.rule(&format!("{at}/test_loss/stderr"), "a finite number, not negative", spread);
        let versus = format!("{at}/vs_baseline");
        self.rule(&versus, "an object, or null for the baseline itself", |v| {
            v.is_null() || v.is_object()
        });
        if self.report.pointer(&versus).is_some_and(Value::is_object) {
            self.text(&format!("{versus}/baseline"));
            self.rule(&format!("{versus}/relative"), "a finite number", is_finite);
            self.rule(&format!("{versus}/ci95"), "two finite numbers, the lower one first", |v| {
                let ends =
                    v.as_array().map(|ends| ends.iter().map(Value::as_f64).collect::<Vec<_>>());
                match ends.as_deref() {
                    None => runs < 2 && v.is_null(),
                    Some([Some(low), Some(high)]) => low <= high,
                    Some([None, None]) => runs < 2,
                    Some(_) => false,
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        let run = |router: &str, seed: u64| {
            json!({"router": router, "seed": seed, "num_experts": 16, "k": 2, "parameters": 100, "epochs": 3,
                "best_epoch": 2, "val_loss": 0.5,
                "test": {"loss": 0.75, "tasks": {
                    "watch": {"loss": 0.5, "auc": null, "accuracy": 0.75},
                    "genre/top": {"loss": 0.25, "accuracy": 1.0},
                    "rating": {"loss": 1.0, "mse": 1.0}}},
                "routing": {"experts_per_row_train": 2.0, "experts_per_row_eval": 2.0, "load_entropy": 1.5,
                    "max_load": 0.2, "dead_experts": 0},
                "seconds": 0.5, "steps": 10, "steps_per_second": 20.0})
        };
        json!({"schema": "moe.compare/1",
            "dataset": {"name": "synthetic", "rows": {"train": 8, "val": 1, "test": 1}, "tasks": [
                {"name": "watch", "kind": "binary"},
                {"name": "genre/top", "kind": "multiclass", "classes": 3},
                {"name": "rating", "kind": "regression"}]},
            "config": {}, "host": {"threads": 2},
            "runs": [run("top-k", 1), run("top-k", 2), run("softmax", 1)],
            "summary": [
                {"router": "top-k", "runs": 2, "test_loss": {"mean": 0.75, "stderr": 0.0}, "vs_baseline": null},
                {"router": "softmax", "runs": 1, "test_loss": {"mean": 0.75, "stderr": null},
                 "vs_baseline": {"baseline": "top-k", "relative": 0.0, "ci95": [-0.1, 0.1]}}]})
    }

    #[test]
    fn a_good_report_passes() {
        assert_eq!(problems(&good()), [""; 0]);
    }

    #[test]
    fn a_bad_value_is_found_and_named() {
        for (at, value) in [
            ("/schema", json!("moe.compare/2")),
            ("/dataset/name", json!("")),
            ("/dataset/rows/val", json!(0)),
            ("/dataset/rows/train", json!(1.5)),
            ("/config", json!([])),
            ("/host/threads", json!(0)),
            ("/runs/1/seed", json!(-1)),
            ("/runs/0/val_loss", json!(null)),
            ("/runs/2/test/loss", json!(null)),
            ("/runs/2/test/loss", json!("NaN")),
            ("/runs/0/test/tasks/watch/auc", json!(1.5)),
            ("/runs/0/test/tasks/rating/mse", json!(-1.0)),
            ("/runs/0/test/tasks/genre~1top/accuracy", json!(null)),
            ("/runs/1/routing/dead_experts", json!(0.5)),
            ("/runs/1/routing/load_entropy", json!(null)),
            ("/summary/0/runs", json!(3)),
            ("/summary/0/test_loss/stderr", json!(null)),
            ("/summary/1/vs_baseline/ci95", json!([0.1, -0.1])),
            ("/summary/1/vs_baseline/ci95", json!([0.1])),
            ("/summary/1/vs_baseline/relative", json!(null)),
        ] {
            let mut bad = good();
            *bad.pointer_mut(at).unwrap() = value.clone();
            let found = problems(&bad);
            assert_eq!(found.len(), 1, "{at} = {value}: {found:?}");
            assert!(found[0].starts_with(at), "{at} = {value}: {found:?}");
        }
    }

    #[test]
    fn every_missing_field_is_found() {
        fn fields(value: &Value, at: &str, all: &mut Vec<(String, String)>) {
            let children: Vec<(String, &Value)> = match value {
                Value::Object(map) => {
                    map.iter().map(|(key, child)| (key.replace('/', "~1"), child)).collect()
                }
                Value::Array(list) => {
                    list.iter().enumerate().map(|(key, child)| (key.to_string(), child)).collect()
                }
                _ => return,
            };
            for (key, child) in children {
                if value.is_object() {
                    all.push((at.to_owned(), key.replace("~1", "/")));
                }
                fields(child, &format!("{at}/{key}"), all);
            }
        }
        let mut all = Vec::new();
        fields(&good(), "", &mut all);
        assert!(all.len() > 80);
        for (at, field) in all {
            if field == "classes" {
                continue;
            }
            let mut bad = good();
            bad.pointer_mut(&at).unwrap().as_object_mut().unwrap().remove(&field);
            assert!(!problems(&bad).is_empty(), "{at} without {field}");
        }
    }

    #[test]
    fn empty_lists_and_other_routers_are_found() {
        for list in ["/runs", "/summary", "/dataset/tasks"] {
            let mut bad = good();
            *bad.pointer_mut(list).unwrap() = json!([]);
            assert!(!problems(&bad).is_empty(), "{list}");
        }
        for (at, value) in [
            ("/summary/1/router", "comet"),
            ("/summary/1/router", "top-k"),
            ("/runs/2/router", "comet"),
            ("/dataset/tasks/0/kind", "yes-or-no"),
            ("/dataset/tasks/0/name", "other"),
        ] {
            let mut bad = good();
            *bad.pointer_mut(at).unwrap() = json!(value);
            assert!(!problems(&bad).is_empty(), "{at} = {value}");
        }
        assert!(!problems(&json!(null)).is_empty());
        assert!(!problems(&json!([])).is_empty());
    }
}
