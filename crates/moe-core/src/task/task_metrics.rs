//! The metrics of a task on a split, by name.

use std::fmt;

use crate::names::{did_you_mean, nearest_name};
use crate::task::intervals::Interval;
use crate::task::kind::TaskKind;
use crate::task::measure::Estimate;
use crate::task::spec::TaskSpec;
use crate::task::task::Task;
use crate::task::task_rows::TaskRows;

/// The name of the loss among the metrics.
const LOSS: &str = "loss";

/// A metric of a task on a split.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Name of the metric.
    pub name: String,
    /// Its value and interval.
    pub estimate: Estimate,
}

/// Loss and metrics of one task on a split.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskMetrics {
    /// Number of rows that have a target.
    pub rows: usize,
    /// The loss, the default metrics of the kind of task, and those that were asked for.
    pub measurements: Vec<Measurement>,
}

/// Error of asking for a metric that no task has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownMetric {
    /// The name.
    pub name: String,
    /// The metrics of each task: its name, the id of its kind, names of metrics.
    pub known: Vec<(String, String, Vec<String>)>,
}

impl TaskMetrics {
    /// Loss and default metrics of `task` for these rows, then those of `asked` that it has. Without rows none has a value.
    pub fn of(task: &dyn Task, rows: &TaskRows, asked: &[String]) -> Self {
        let of_rows = |measure: &dyn Fn() -> Estimate| {
            if rows.is_empty() { Estimate::UNDEFINED } else { measure() }
        };
        let loss = of_rows(&|| Estimate::mean(&task.losses(rows)));
        let mut measurements = vec![Measurement { name: LOSS.into(), estimate: loss }];
        let (default, others): (Vec<_>, Vec<_>) =
            task.metrics().into_iter().partition(|metric| metric.is_default);
        let asked = asked.iter().filter_map(|name| others.iter().find(|other| other.name == name));
        for metric in default.iter().chain(asked) {
            if measurements.iter().all(|measured| measured.name != metric.name) {
                let estimate = of_rows(&|| (metric.rule)(rows));
                measurements.push(Measurement { name: metric.name.into(), estimate });
            }
        }
        TaskMetrics { rows: rows.len(), measurements }
    }

    /// The loss as a part of the loss of all tasks: 0 if no row has a target.
    pub fn loss(&self) -> f64 {
        self.value(LOSS).unwrap_or_default()
    }

    /// The value of a metric, if it was measured and is defined.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.estimate(name)?.value
    }

    /// The interval of a metric, if it was measured and has one.
    pub fn interval(&self, name: &str) -> Option<Interval> {
        self.estimate(name)?.interval
    }

    fn estimate(&self, name: &str) -> Option<Estimate> {
        let found = self.measurements.iter().find(|measured| measured.name == name);
        found.map(|measured| measured.estimate)
    }
}

impl TaskKind {
    /// Names of all metrics that can be asked for, the loss first.
    pub fn metric_names(&self) -> Vec<String> {
        let mut names = vec![LOSS.to_owned()];
        names.extend(self.metrics().iter().map(|metric| metric.name.to_owned()));
        names
    }

    /// The metric that stands for the task in tables with a column per task.
    pub fn main_metric(&self) -> String {
        self.metrics().first().map_or(LOSS, |metric| metric.name).to_owned()
    }
}

impl UnknownMetric {
    /// Checks that each metric of `asked` is one of at least one of the tasks.
    ///
    /// # Errors
    /// With the first name that is not, and the metrics of each task.
    pub fn check(tasks: &[TaskSpec], asked: &[String]) -> Result<(), Self> {
        let known = tasks.iter().map(|TaskSpec { name, kind }| {
            (name.clone(), kind.id().to_owned(), kind.metric_names())
        });
        let known: Vec<_> = known.collect();
        let is_known = |name: &String| known.iter().any(|(.., names)| names.contains(name));
        match asked.iter().find(|name| !is_known(name)) {
            Some(name) => Err(UnknownMetric { name: name.clone(), known }),
            None => Ok(()),
        }
    }
}

impl fmt::Display for UnknownMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.known.iter().flat_map(|(.., names)| names).map(String::as_str);
        let hint = did_you_mean(", ", nearest_name(&self.name, names), "");
        write!(f, "there is no metric \"{}\"{hint}", self.name)?;
        for (task, kind, names) in &self.known {
            write!(f, "; task {task} ({kind}) has {}", names.join(", "))?;
        }
        Ok(())
    }
}
