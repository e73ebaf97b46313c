//! The contract `moe.compare/1`: the object that `moe compare --format json` prints, as other programs read it.
#![allow(dead_code, reason = "most fields are required but not looked at")]

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A finished comparison. Its objects may have more fields than these.
#[derive(Deserialize)]
pub(crate) struct Comparison {
    schema: String,
    dataset: Dataset,
    config: Map<String, Value>,
    host: Host,
    runs: Vec<Run>,
    summary: Vec<Summary>,
}

#[derive(Deserialize)]
struct Dataset {
    name: String,
    tasks: Vec<Task>,
    rows: Rows,
}

#[derive(Deserialize)]
struct Task {
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Binary,
    Multiclass,
    Regression,
}

#[derive(Deserialize)]
struct Rows {
    train: NonZeroU64,
    val: NonZeroU64,
    test: NonZeroU64,
}

#[derive(Deserialize)]
struct Host {
    threads: NonZeroU64,
}

#[derive(Deserialize)]
struct Run {
    router: String,
    seed: u64,
    num_experts: u64,
    k: u64,
    parameters: u64,
    epochs: u64,
    best_epoch: u64,
    val_loss: f64,
    test: Test,
    routing: Routing,
    seconds: NotNegative,
    steps: u64,
    steps_per_second: NotNegative,
}

#[derive(Deserialize)]
struct Test {
    loss: f64,
    tasks: BTreeMap<String, Metrics>,
}

/// The metrics of a task: those of the first kind whose metrics are all present.
#[derive(Deserialize)]
#[serde(untagged)]
enum Metrics {
    Binary {
        loss: f64,
        /// Null if all rows have the same class.
        #[serde(deserialize_with = "Option::deserialize")]
        auc: Option<Fraction>,
        accuracy: Fraction,
    },
    Multiclass {
        loss: f64,
        accuracy: Fraction,
    },
    Regression {
        loss: f64,
        mse: NotNegative,
    },
}

#[derive(Deserialize)]
struct Routing {
    experts_per_row_train: NotNegative,
    experts_per_row_eval: NotNegative,
    load_entropy: NotNegative,
    max_load: NotNegative,
    dead_experts: u64,
}

#[derive(Deserialize)]
struct Summary {
    router: String,
    runs: u64,
    test_loss: TestLoss,
    /// Null for the baseline itself.
    #[serde(deserialize_with = "Option::deserialize")]
    vs_baseline: Option<VsBaseline>,
}

#[derive(Deserialize)]
struct TestLoss {
    mean: f64,
    /// Null with one run.
    #[serde(deserialize_with = "Option::deserialize")]
    stderr: Option<NotNegative>,
}

#[derive(Deserialize)]
struct VsBaseline {
    baseline: String,
    relative: f64,
    /// Null with one run.
    #[serde(deserialize_with = "Option::deserialize")]
    ci95: Option<[f64; 2]>,
}

type Fraction = UpTo<1>;
type NotNegative = UpTo<{ u64::MAX }>;

/// A number from 0 to `MOST`.
#[derive(Deserialize)]
#[serde(try_from = "f64")]
struct UpTo<const MOST: u64>(f64);

impl<const MOST: u64> TryFrom<f64> for UpTo<MOST> {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        let is_inside = (0.0..=MOST as f64).contains(&value);
        is_inside.then_some(UpTo(value)).ok_or_else(|| format!("{value} is not from 0 to {MOST}"))
    }
}

impl Comparison {
    /// Reads a report that keeps the contract. An error names the first place that does not.
    pub(crate) fn read(json: &str) -> Result<Comparison> {
        let value: Value = serde_json::from_str(json)?;
        let report: Comparison = serde_path_to_error::deserialize(value)?;
        report.check()?;
        Ok(report)
    }

    /// Reads the reports of several comparisons, one after the other.
    pub(crate) fn read_all(json: &str) -> Result<Vec<Comparison>> {
        let values = serde_json::Deserializer::from_str(json).into_iter::<Value>();
        values.map(|value| Comparison::read(&value?.to_string())).collect()
    }

    /// Number of runs.
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Number of training steps of all runs.
    pub(crate) fn steps(&self) -> u64 {
        self.runs.iter().map(|run| run.steps).sum()
    }

    /// Number of runs that ended at the last epoch, where they may not have converged.
    pub(crate) fn capped(&self) -> Result<usize> {
        let most = self.config.get("train").and_then(|train| train["epochs"].as_u64());
        let most = most.context("config.train.epochs: not a number")?;
        Ok(self.runs.iter().filter(|run| run.epochs >= most).count())
    }

    /// Checks what the types do not express.
    fn check(&self) -> Result<()> {
        let Comparison { schema, dataset, runs, summary, .. } = self;
        ensure!(schema == "moe.compare/1", "schema: `{schema}` is not `moe.compare/1`");
        ensure!(!dataset.name.is_empty(), "dataset.name: the text is empty");
        ensure!(!dataset.tasks.is_empty(), "dataset.tasks: the list is empty");
        ensure!(!runs.is_empty(), "runs: the list is empty");
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (index, run) in runs.iter().enumerate() {
            ensure!(!run.router.is_empty(), "runs[{index}].router: the text is empty");
            *counts.entry(&run.router).or_default() += 1;
            run.test.check(&dataset.tasks).with_context(|| format!("runs[{index}].test.tasks"))?;
        }
        for (index, line) in summary.iter().enumerate() {
            let count = counts.remove(&*line.router);
            line.check(count).with_context(|| format!("summary[{index}] ({})", line.router))?;
        }
        ensure!(counts.is_empty(), "summary: {:?} are missing", counts.keys());
        Ok(())
    }
}

impl Test {
    /// Checks that each task has the metrics of its kind.
    fn check(&self, tasks: &[Task]) -> Result<()> {
        ensure!(self.tasks.len() == tasks.len(), "not one entry for each task of the data set");
        for Task { name, kind } in tasks {
            let found = self.tasks.get(name).map(|metrics| match metrics {
                Metrics::Binary { .. } => Kind::Binary,
                Metrics::Multiclass { .. } => Kind::Multiclass,
                Metrics::Regression { .. } => Kind::Regression,
            });
            ensure!(
                found == Some(*kind) && !name.is_empty(),
                "{name}: expected the metrics of {kind:?} (loss with auc and accuracy, accuracy, or mse)"
            );
        }
        Ok(())
    }
}

impl Summary {
    /// Checks that it sums up `count` runs, with their spread if there are several.
    fn check(&self, count: Option<u64>) -> Result<()> {
        let is_known = self.runs > 1;
        ensure!(count == Some(self.runs), "runs: {} instead of {count:?}", self.runs);
        ensure!(!is_known || self.test_loss.stderr.is_some(), "test_loss.stderr: null");
        let Some(VsBaseline { baseline, ci95, .. }) = &self.vs_baseline else { return Ok(()) };
        ensure!(!baseline.is_empty(), "vs_baseline.baseline: the text is empty");
        let is_ordered = ci95.map_or(!is_known, |[low, high]| low <= high);
        ensure!(
            is_ordered,
            "vs_baseline.ci95: {ci95:?}, expected two numbers, the lower one first"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../fixtures/compare.json");

    /// What is wrong with the good report once the value at `at` is another one.
    fn broken(at: &str, value: Value) -> Option<String> {
        let mut report: Value = serde_json::from_str(GOOD).unwrap();
        *report.pointer_mut(at).unwrap() = value;
        Comparison::read(&report.to_string()).err().map(|error| format!("{error:#}"))
    }

    #[test]
    fn a_good_report_passes() {
        assert_eq!(Comparison::read(GOOD).unwrap().runs(), 3);
        for text in ["", "null", "[]", &format!("{GOOD} 1")] {
            assert!(Comparison::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bad_value_is_found_and_named() {
        let bad = include_str!("../fixtures/bad_values.json");
        let bad: Vec<(String, Value, String)> = serde_json::from_str(bad).unwrap();
        for (at, value, says) in bad {
            let error = broken(&at, value.clone()).unwrap_or_default();
            assert!(error.contains(&says), "{at} = {value}: {error}");
        }
    }

    #[test]
    fn every_missing_field_is_found() {
        let mut open = vec![(String::new(), serde_json::from_str::<Value>(GOOD).unwrap())];
        let mut fields = 0;
        while let Some((at, value)) = open.pop() {
            if let Value::Object(object) = &value {
                for field in object.keys() {
                    let mut less = object.clone();
                    less.remove(field);
                    assert!(broken(&at, less.into()).is_some(), "{at} without {field}");
                    open.push((format!("{at}/{}", field.replace('/', "~1")), value[field].clone()));
                    fields += 1;
                }
            }
            for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                open.push((format!("{at}/{index}"), item.clone()));
            }
        }
        assert!(fields > 80);
    }
}
