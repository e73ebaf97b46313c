//! Loss and metrics of a run with their intervals, as results have them.

use std::collections::BTreeMap;
use std::fmt;

use moe_core::batch::TaskSpec;
use moe_core::task::intervals::Interval;
use moe_core::task::{Estimate, Measurement, TaskMetrics};
use moe_nn::Evaluation;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// Loss and metrics on the test split, or on the one that `moe eval` was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TestResult {
    /// Sum of task weight times task loss, without auxiliary terms.
    pub loss: f64,
    /// Loss and metrics of each task, by its name.
    pub tasks: Map<String, Value>,
    /// 95 % intervals of these over the rows, by task (see [`moe_nn::intervals`]).
    pub ci95: BTreeMap<String, TaskIntervals>,
}

/// The metrics of a task, of which its 95 % intervals are written: `rows`, the number of rows that count, then the interval of
/// the loss, then those that the other metrics have.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskIntervals(TaskMetrics);

impl Serialize for TaskIntervals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let TaskIntervals(TaskMetrics { rows, measurements }) = self;
        let (loss, others) = measurements.split_first().expect("the loss is measured");
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("rows", rows)?;
        map.serialize_entry(&loss.name, &loss.estimate.interval)?;
        for Measurement { name, estimate } in others {
            // The loss under its own name, such as `mse`, has the interval of the loss.
            if estimate.interval.is_some() && *estimate != loss.estimate {
                map.serialize_entry(name, &estimate.interval)?;
            }
        }
        map.end()
    }
}

/// What is written of a [`TestResult`].
#[derive(Deserialize)]
struct Written {
    /// Null if it is not finite.
    loss: Option<f64>,
    tasks: Map<String, Value>,
    ci95: BTreeMap<String, Ordered>,
}

/// The fields of an object in the order in which they are written.
struct Ordered(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Ordered;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of intervals")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Ordered(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

impl<'de> Deserialize<'de> for TestResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { loss, tasks, ci95 } = Written::deserialize(deserializer)?;
        let intervals = ci95.into_iter().map(|(task, fields)| {
            let values = tasks.get(&task).and_then(Value::as_object);
            let read = values.and_then(|values| TaskIntervals::read(&fields.0, values));
            let wrong = || {
                D::Error::custom(format!("the intervals of the task {task} do not fit its metrics"))
            };
            read.map(|read| (task.clone(), read)).ok_or_else(wrong)
        });
        let ci95 = intervals.collect::<Result<_, _>>()?;
        Ok(TestResult { loss: loss.unwrap_or(f64::NAN), tasks, ci95 })
    }
}

impl TaskIntervals {
    /// The metrics with these values, of which these intervals were written.
    fn read(fields: &[(String, Value)], values: &Map<String, Value>) -> Option<Self> {
        let ((of_rows, rows), intervals) = fields.split_first()?;
        if of_rows != "rows" {
            return None;
        }
        let mut measurements: Vec<Measurement> = Vec::new();
        for (name, interval) in intervals {
            let estimate =
                Estimate { value: values.get(name)?.as_f64(), interval: interval_of(interval)? };
            measurements.push(Measurement { name: name.clone(), estimate });
        }
        let loss = measurements.first()?.estimate;
        for (name, value) in values {
            if measurements.iter().all(|measured| measured.name != *name) {
                // What has the value of the loss has its interval too. An end that was not finite is lost.
                let value = value.as_f64();
                let is_same =
                    |ends: &Interval| value == loss.value && !ends.iter().any(|end| end.is_nan());
                let interval = loss.interval.filter(is_same);
                let estimate = Estimate { value, interval };
                measurements.push(Measurement { name: name.clone(), estimate });
            }
        }
        let rows = usize::try_from(rows.as_u64()?).ok()?;
        Some(TaskIntervals(TaskMetrics { rows, measurements }))
    }
}

/// An interval, or none, as it is written: null stands for an end that is not finite. `None` for anything else.
fn interval_of(value: &Value) -> Option<Option<Interval>> {
    let end = |end: &Value| match end {
        Value::Null => Some(f64::NAN),
        end => end.as_f64(),
    };
    match value {
        Value::Null => Some(None),
        Value::Array(ends) => match &ends[..] {
            [low, high] => Some(Some([end(low)?, end(high)?])),
            _ => None,
        },
        _ => None,
    }
}

impl TestResult {
    pub(crate) fn new(evaluation: &Evaluation, tasks: &[TaskSpec]) -> Self {
        let mut result = TestResult { loss: evaluation.loss, ..TestResult::default() };
        for (i, TaskSpec { name, .. }) in tasks.iter().enumerate() {
            let measured = &evaluation.tasks[i];
            let values = measured.measurements.iter();
            let values = values.map(|of| (of.name.clone(), Value::from(of.estimate.value)));
            result.tasks.insert(name.clone(), values.collect());
            result.ci95.insert(name.clone(), TaskIntervals(measured.clone()));
        }
        result
    }

    /// Every metric of every task with its 95 % interval.
    pub(crate) fn metrics(&self) -> Vec<Metric<'_>> {
        let mut metrics = Vec::new();
        for (task, TaskIntervals(of)) in &self.ci95 {
            for Measurement { name, estimate: Estimate { value, interval } } in &of.measurements {
                let (value, interval) = (value.filter(|value| value.is_finite()), *interval);
                metrics.push(Metric { task, rows: of.rows, name, value, interval });
            }
        }
        metrics
    }

    /// A metric of a task, if the task has it and it is defined.
    pub fn metric(&self, task: &str, name: &str) -> Option<f64> {
        self.tasks.get(task)?.get(name)?.as_f64()
    }
}

/// A metric of a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric<'a> {
    pub(crate) task: &'a str,
    /// Rows that have a target of the task.
    pub(crate) rows: usize,
    pub(crate) name: &'a str,
    /// `None` where it is not defined, such as the AUC of rows of one class.
    pub(crate) value: Option<f64>,
    pub(crate) interval: Option<Interval>,
}
