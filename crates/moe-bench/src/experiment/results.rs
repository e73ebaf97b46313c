use std::collections::BTreeMap;

use moe_core::batch::TaskSpec;
use moe_data::Dataset;
use moe_nn::intervals::TaskIntervals;
use moe_nn::{Evaluation, History, TaskMetrics};
use moe_routers::RoutingStats;
use moe_routers::telemetry::{GateSummary, Thresholds};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::Config;
use crate::experiment::statistics;
use crate::experiment::statistics::{Paired, Summary};

/// A finished comparison: the object that `--format json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// `moe.compare/1`
    pub schema: &'static str,
    /// What was learnt.
    pub dataset: DatasetInfo,
    /// The configuration, complete.
    pub config: Config,
    /// Where it ran.
    pub host: Host,
    /// All runs, routers in the order they were asked for, seeds ascending.
    pub runs: Vec<RunResult>,
    /// One line per router.
    pub summary: Vec<RouterSummary>,
}

/// The data set of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct DatasetInfo {
    /// Its id.
    pub name: String,
    /// Its tasks.
    pub tasks: Vec<TaskInfo>,
    /// Rows of each part.
    pub rows: PartRows,
}

/// A task of the data set.
#[derive(Clone, Debug, Serialize)]
pub struct TaskInfo {
    /// Its name.
    pub name: String,
    /// `binary`, `multiclass` or `regression`
    pub kind: &'static str,
}

/// Rows of the parts of the data set.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PartRows {
    /// To learn from.
    pub train: usize,
    /// To choose by.
    pub val: usize,
    /// To report.
    pub test: usize,
}

/// The machine.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Host {
    /// Threads used; the results do not depend on it.
    pub threads: usize,
}

/// One router trained from one seed.
#[derive(Clone, Debug, Serialize)]
pub struct RunResult {
    /// The router's id.
    pub router: String,
    /// Seed of initial weights, shuffles and draws.
    pub seed: u64,
    /// N.
    pub num_experts: usize,
    /// K as configured, also for routers that do not use it.
    pub k: usize,
    /// Learnable numbers of the whole model.
    pub parameters: usize,
    /// Epochs run.
    pub epochs: usize,
    /// The epoch whose weights were kept, from 1.
    pub best_epoch: usize,
    /// Its validation loss.
    pub val_loss: f64,
    /// On the test part, with those weights.
    pub test: TestResult,
    /// How rows spread over experts.
    pub routing: RoutingResult,
    /// Time spent in training steps.
    pub seconds: f64,
    /// Training steps taken.
    pub steps: u64,
    /// Their rate.
    pub steps_per_second: f64,
}

/// Loss and metrics on the test part: also what `moe eval` prints.
#[derive(Clone, Debug, Serialize)]
pub struct TestResult {
    /// Sum of task weight times task loss, without auxiliary terms.
    pub loss: f64,
    /// For each task by name, its loss and metrics.
    pub tasks: Map<String, Value>,
    /// For each task, 95 % intervals of these over the rows of the test part (see [`moe_nn::intervals`]).
    pub ci95: BTreeMap<String, TaskIntervals>,
}

impl TestResult {
    pub(crate) fn new(evaluation: &Evaluation, tasks: &[TaskSpec]) -> Self {
        let metrics = tasks.iter().zip(&evaluation.tasks);
        let metrics = metrics.map(|(task, metrics): (_, &TaskMetrics)| {
            let value = serde_json::to_value(metrics).expect("metrics are plain numbers");
            (task.name.clone(), value)
        });
        let names = tasks.iter().map(|task| task.name.clone());
        let ci95 = names.zip(evaluation.intervals.iter().copied()).collect();
        TestResult { loss: evaluation.loss, tasks: metrics.collect(), ci95 }
    }

    /// Every metric of every task with its 95 % interval, as cells: task, rows, metric, value, interval.
    pub(crate) fn lines(&self) -> Vec<Vec<String>> {
        let mut lines = Vec::new();
        for (task, of) in &self.ci95 {
            for (name, interval) in
                [("loss", of.loss), ("auc", of.auc), ("accuracy", of.accuracy), ("mse", of.loss)]
            {
                if self.tasks[task].get(name).is_none() {
                    continue;
                }
                let value = self.metric(task, name);
                let interval = interval.map(|[low, high]| format!("{low:.4} to {high:.4}"));
                lines.push(vec![
                    task.clone(),
                    of.rows.to_string(),
                    name.to_owned(),
                    value.map_or("-".into(), |value| format!("{value:.4}")),
                    interval.unwrap_or_else(|| "-".into()),
                ]);
            }
        }
        lines
    }

    /// A metric of a task, if the task has it and it is defined.
    pub fn metric(&self, task: &str, name: &str) -> Option<f64> {
        self.tasks.get(task)?.get(name)?.as_f64()
    }
}

/// How rows spread over experts, all gates together. All zeros for a model without gates.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RoutingResult {
    /// Mean number of experts of a row and gate in training steps.
    pub experts_per_row_train: f64,
    /// The same on the test part.
    pub experts_per_row_eval: f64,
    /// Share of the test rows with at most K experts, mean over the gates.
    pub rows_up_to_k: f64,
    /// Entropy of the experts' load on the test part: 1 balanced, 0 collapsed.
    pub load_entropy: f64,
    /// Largest share of one expert of all (row, expert) pairs there.
    pub max_load: f64,
    /// Experts without a row there.
    pub dead_experts: usize,
    /// What the experts say of the row on the test part, mean over the gates: 0 if all rows have the same weights, 1
    /// if each goes to one expert and all experts have equally many.
    pub mutual_information: f64,
    /// Share of the test rows that go to the most frequent set of experts, mean over the gates.
    pub top_set_share: f64,
    /// Each gate on the test part.
    pub gates: Vec<GateSummary>,
    /// What looks wrong with them.
    pub alarms: Vec<GateAlarm>,
    /// Where the data has a planted partition: how well each row's main expert agrees with it (adjusted Rand
    /// index; 1 the same partition, about 0 unrelated), mean over the gates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adjusted_rand_index: Option<f64>,
}

/// Something that looks wrong with a gate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateAlarm {
    /// Which gate, from 0.
    pub gate: usize,
    /// Its name, such as `static routing`.
    pub alarm: &'static str,
    /// What it means and what to try.
    pub text: String,
}

impl GateAlarm {
    /// What looks wrong with a gate.
    pub(crate) fn all(gate: usize, summary: &GateSummary) -> Vec<GateAlarm> {
        let alarms = summary.alarms(&Thresholds::default()).into_iter();
        alarms
            .map(|alarm| GateAlarm { gate, alarm: alarm.name(), text: alarm.to_string() })
            .collect()
    }
}

impl RoutingResult {
    pub(crate) fn new(
        history: &History,
        test: &Evaluation,
        k: usize,
        planted: Option<&[u32]>,
    ) -> Self {
        let Some(stats) = &test.routing else {
            return RoutingResult::default();
        };
        let agreement = planted.map(|planted| {
            let gates = test.main_experts.iter();
            let indices = gates.map(|main| moe_nn::metrics::adjusted_rand_index(main, planted));
            indices.sum::<f64>() / test.main_experts.len() as f64
        });
        let gates = test.gates.clone();
        let mean = |value: &dyn Fn(&GateSummary) -> f64| {
            gates.iter().map(value).sum::<f64>() / gates.len().max(1) as f64
        };
        let alarms = gates.iter().enumerate();
        let alarms = alarms.flat_map(|(gate, summary)| GateAlarm::all(gate, summary));
        RoutingResult {
            rows_up_to_k: mean(&|gate| gate.share_up_to(k)),
            mutual_information: mean(&|gate| gate.mutual_information),
            top_set_share: mean(&|gate| gate.top_set_share),
            alarms: alarms.collect(),
            experts_per_row_train: history
                .routing
                .as_ref()
                .map_or(0.0, RoutingStats::experts_per_row),
            experts_per_row_eval: stats.experts_per_row(),
            load_entropy: stats.load_entropy(),
            max_load: stats.max_load(),
            dead_experts: stats.dead_experts(),
            adjusted_rand_index: agreement,
            gates,
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
    /// Test loss.
    pub test_loss: Summary,
    /// Against the baseline, seed by seed; `None` for the baseline itself.
    pub vs_baseline: Option<VsBaseline>,
}

/// A router held against the baseline.
#[derive(Clone, Debug, Serialize)]
pub struct VsBaseline {
    /// The baseline's id.
    pub baseline: String,
    /// Difference of the mean test losses as a share of the baseline's: below 0 is better.
    pub relative: f64,
    /// 95 % interval of it from the paired differences (Student's t); `None` with one run.
    pub ci95: Option<[f64; 2]>,
}

impl Comparison {
    pub(crate) fn new(config: &Config, data: &Dataset, runs: Vec<RunResult>) -> Self {
        let losses = |router: &str| -> Vec<f64> {
            runs.iter().filter(|run| run.router == router).map(|run| run.test.loss).collect()
        };
        let routers = &config.run.routers;
        let baseline = Some(&config.run.baseline).filter(|id| routers.contains(id));
        let baseline = baseline.unwrap_or(&routers[0]);
        let baseline_losses = losses(baseline);
        let summary = routers.iter().map(|router| {
            let losses = losses(router);
            let vs_baseline = (router != baseline).then(|| {
                let Paired { relative, ci95 } = statistics::paired(&losses, &baseline_losses);
                VsBaseline { baseline: baseline.clone(), relative, ci95 }
            });
            RouterSummary {
                router: router.clone(),
                runs: losses.len(),
                test_loss: Summary::of(&losses),
                vs_baseline,
            }
        });
        use moe_core::batch::BatchSource;
        Comparison {
            schema: "moe.compare/1",
            dataset: DatasetInfo {
                name: data.name.clone(),
                tasks: (data.tasks.iter())
                    .map(|task| TaskInfo { name: task.name.clone(), kind: task.kind.name() })
                    .collect(),
                rows: PartRows {
                    train: data.train.rows(),
                    val: data.val.rows(),
                    test: data.test.rows(),
                },
            },
            config: config.clone(),
            host: Host { threads: rayon::current_num_threads() },
            summary: summary.collect(),
            runs,
        }
    }
}
