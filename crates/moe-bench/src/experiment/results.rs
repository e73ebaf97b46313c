//! The results of runs and comparisons: what `--format json` prints and `results.json` holds.

use std::collections::BTreeMap;

use moe_core::batch::{BatchSource, TaskSpec};
use moe_core::task::intervals::Interval;
use moe_core::task::{Estimate, Measurement, TaskMetrics};
use moe_data::Dataset;
use moe_nn::{Evaluation, History};
use moe_routers::RoutingStats;
use moe_routers::telemetry::{Alarm, GateSummary, Thresholds, gate_label};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::config::Config;
use crate::experiment::gap::GapClosed;
use crate::experiment::statistics::{Summary, paired};

/// A finished comparison: the object that `--format json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// `moe.compare/1`
    pub schema: &'static str,
    /// The data set.
    pub dataset: DatasetInfo,
    /// The configuration, complete.
    pub config: Config,
    /// The machine.
    pub host: Host,
    /// All runs, routers in the order they were asked for, seeds ascending.
    pub runs: Vec<RunResult>,
    /// All runs of each router in one line.
    pub summary: Vec<RouterSummary>,
}

/// The data set of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct DatasetInfo {
    /// Its id, as in `moe data list`.
    pub name: String,
    /// Its tasks.
    pub tasks: Vec<TaskInfo>,
    /// Number of rows of each split.
    pub rows: SplitRows,
}

/// A task of the data set.
#[derive(Clone, Debug, Serialize)]
pub struct TaskInfo {
    /// Its name.
    pub name: String,
    /// Id of its kind, such as `binary`.
    pub kind: String,
    /// The metric that stands for the task in a table.
    #[serde(skip)]
    pub main_metric: String,
}

/// Number of rows of each split of the data set.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SplitRows {
    /// Rows to train on.
    pub train: usize,
    /// Rows to choose the best epoch by.
    pub val: usize,
    /// Rows to report on.
    pub test: usize,
}

/// The machine.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Host {
    /// Number of threads; the results do not depend on it.
    pub threads: usize,
}

/// One router trained from one seed.
#[derive(Clone, Debug, Serialize)]
pub struct RunResult {
    /// The router's id.
    pub router: String,
    /// Seed of initial weights, shuffles and random draws.
    pub seed: u64,
    /// Number of experts (N).
    pub num_experts: usize,
    /// Experts per row as configured (K), also for routers that do not use it.
    pub k: usize,
    /// Number of trainable parameters.
    pub parameters: usize,
    /// Number of epochs trained.
    pub epochs: usize,
    /// The epoch with the lowest validation loss, from 1. Its weights are the model.
    pub best_epoch: usize,
    /// The validation loss of that epoch.
    pub val_loss: f64,
    /// Loss and metrics on the test split, with the weights of that epoch.
    pub test: TestResult,
    /// How rows spread over experts.
    pub routing: RoutingResult,
    /// Seconds spent in training steps.
    pub seconds: f64,
    /// Number of training steps.
    pub steps: u64,
    /// Training steps per second.
    pub steps_per_second: f64,
}

/// Loss and metrics on the test split, or on the one that `moe eval` was asked for.
#[derive(Clone, Debug, Default, Serialize)]
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

/// How rows spread over experts, all gates together. All zeros for a model without gates.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RoutingResult {
    /// Mean number of experts per row and gate in training steps.
    pub experts_per_row_train: f64,
    /// Mean number of experts per row and gate on the test split.
    pub experts_per_row_eval: f64,
    /// Share of the test rows with at most K experts, mean over the gates.
    pub rows_up_to_k: f64,
    /// Entropy of the experts' load on the test split: 1 balanced, 0 collapsed.
    pub load_entropy: f64,
    /// Largest share of one expert in all (row, expert) pairs of the test split.
    pub max_load: f64,
    /// Number of experts without a row of the test split.
    pub dead_experts: usize,
    /// Mutual information between rows and experts on the test split, mean over the gates: 0 if all rows have the same
    /// weights, 1 if each row goes to one expert and all experts have the same number of rows.
    pub mutual_information: f64,
    /// Share of the test rows that go to the most frequent set of experts, mean over the gates.
    pub top_set_share: f64,
    /// A summary of each gate on the test split.
    pub gates: Vec<GateSummary>,
    /// Alarms of the gates.
    pub alarms: Vec<GateAlarm>,
    /// Agreement of each row's main expert with the planted groups, where the data have them: adjusted Rand index, 1 for
    /// the same partition and about 0 for an unrelated one; mean over the gates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adjusted_rand_index: Option<f64>,
}

/// An alarm: something that looks wrong with a gate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateAlarm {
    /// Name of the gate's layer.
    pub layer: String,
    /// Index of the gate in its layer.
    pub gate: usize,
    /// Name of the alarm, such as `static routing`.
    pub alarm: &'static str,
    /// What the alarm means and what to try.
    pub text: String,
}

impl GateAlarm {
    /// All alarms of a gate.
    pub(crate) fn all(summary: &GateSummary) -> Vec<GateAlarm> {
        let alarms = summary.alarms(&Thresholds::default()).into_iter();
        let of_gate = |alarm: Alarm| GateAlarm {
            layer: summary.layer.clone(),
            gate: summary.gate,
            alarm: alarm.name(),
            text: alarm.to_string(),
        };
        alarms.map(of_gate).collect()
    }

    /// Name of the gate in texts.
    pub(crate) fn label(&self) -> String {
        gate_label(&self.layer, self.gate)
    }
}

impl RoutingResult {
    pub(crate) fn new(
        history: &History,
        test: &Evaluation,
        k: usize,
        groups: Option<&[u32]>,
    ) -> Self {
        let Some(stats) = &test.routing else {
            return RoutingResult::default();
        };
        let count = test.gates.len().max(1) as f64;
        let (mut up_to_k, mut information, mut top_set, mut alarms) = (0.0, 0.0, 0.0, Vec::new());
        for summary in &test.gates {
            up_to_k += summary.share_up_to(k);
            information += summary.mutual_information;
            top_set += summary.top_set_share;
            alarms.extend(GateAlarm::all(summary));
        }
        let adjusted_rand_index = groups.map(|groups| {
            let per_row = test.main_experts.iter().filter(|main| main.len() == groups.len());
            let indices = per_row.map(|main| moe_nn::metrics::adjusted_rand_index(main, groups));
            indices.sum::<f64>() / test.main_experts.len() as f64
        });
        let in_training = history.routing.as_ref();
        RoutingResult {
            experts_per_row_train: in_training.map_or(0.0, RoutingStats::experts_per_row),
            experts_per_row_eval: stats.experts_per_row(),
            rows_up_to_k: up_to_k / count,
            load_entropy: stats.load_entropy(),
            max_load: stats.max_load(),
            dead_experts: stats.dead_experts(),
            mutual_information: information / count,
            top_set_share: top_set / count,
            gates: test.gates.clone(),
            alarms,
            adjusted_rand_index,
        }
    }
}

/// All runs of a router in one line.
#[derive(Clone, Debug, Serialize)]
pub struct RouterSummary {
    /// The router's id.
    pub router: String,
    /// Number of runs.
    pub runs: usize,
    /// Mean test loss.
    pub test_loss: Summary,
    /// Comparison with the baseline, seed by seed; `None` for the baseline itself.
    pub vs_baseline: Option<VsBaseline>,
    /// The share of the gap between `hash` and `oracle` that the router closes, where both are in the comparison, both with K
    /// experts a row, and the router is neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_closed: Option<GapClosed>,
}

/// A router compared with the baseline.
#[derive(Clone, Debug, Serialize)]
pub struct VsBaseline {
    /// The baseline's id.
    pub baseline: String,
    /// Difference of the mean test losses relative to the baseline's: below 0 is better.
    pub relative: f64,
    /// 95 % interval of `relative` from the paired differences (Student's t); `None` with one run.
    pub ci95: Option<[f64; 2]>,
}

impl Comparison {
    pub(crate) fn new(config: &Config, data: &Dataset, runs: Vec<RunResult>) -> Self {
        let kinds = data.tasks.iter();
        let tasks = kinds.map(|task| TaskInfo {
            name: task.name.clone(),
            kind: task.kind.id().to_owned(),
            main_metric: task.kind.main_metric(),
        });
        let [train, val, test] = [&data.train, &data.val, &data.test].map(|split| split.rows());
        let mut comparison = Comparison {
            schema: "moe.compare/1",
            dataset: DatasetInfo {
                name: data.name.clone(),
                tasks: tasks.collect(),
                rows: SplitRows { train, val, test },
            },
            config: config.clone(),
            host: Host { threads: rayon::current_num_threads() },
            runs,
            summary: Vec::new(),
        };
        let routers = &config.run.routers;
        let baseline = routers.iter().find(|id| **id == config.run.baseline).unwrap_or(&routers[0]);
        let baseline_losses = comparison.losses(baseline);
        for router in routers {
            let losses = comparison.losses(router);
            let vs_baseline = (router != baseline).then(|| {
                let (relative, ci95) = paired(&losses, &baseline_losses);
                VsBaseline { baseline: baseline.clone(), relative, ci95 }
            });
            comparison.summary.push(RouterSummary {
                router: router.clone(),
                runs: losses.len(),
                test_loss: Summary::of(&losses),
                vs_baseline,
                gap_closed: comparison.gap_closed(router, &losses),
            });
        }
        comparison
    }

    /// The share of the gap between `hash` and `oracle` that a router with these losses closes. Both must give a row K experts, or
    /// the gap would be one of other models.
    fn gap_closed(&self, router: &str, losses: &[f64]) -> Option<GapClosed> {
        const ENDS: [&str; 2] = ["hash", "oracle"];
        let k = self.config.model.k as f64;
        let is_end = |end: &str| {
            let runs = self.runs_of(end);
            let have_k = runs.iter().all(|run| run.routing.experts_per_row_eval == k);
            have_k && !runs.is_empty() && runs.len() == losses.len()
        };
        if ENDS.contains(&router) || !ENDS.into_iter().all(is_end) {
            return None;
        }
        GapClosed::of(losses, &self.losses("hash"), &self.losses("oracle"))
    }

    /// The runs of a router, seeds ascending.
    pub(crate) fn runs_of(&self, router: &str) -> Vec<&RunResult> {
        self.runs.iter().filter(|run| run.router == router).collect()
    }

    fn losses(&self, router: &str) -> Vec<f64> {
        self.runs_of(router).iter().map(|run| run.test.loss).collect()
    }
}
