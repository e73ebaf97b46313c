use moe_core::batch::{BatchSource, Target, TaskKind};
use moe_core::tape::Tape;
use moe_core::{Pass, Real};
use moe_routers::telemetry::{GateStats, GateSummary};
use moe_routers::{Routing, RoutingStats};
use serde::{Deserialize, Serialize};

use crate::eval::intervals::{self, TaskIntervals};
use crate::eval::metrics;
use crate::models::model::Model;

/// Quality of a model on a data split, without dropout and with the inference rule of its routers.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Sum of task weight times task loss, without auxiliary terms.
    pub loss: f64,
    /// Loss and metrics of each task.
    pub tasks: Vec<TaskMetrics>,
    /// Confidence intervals of the metrics of each task.
    pub intervals: Vec<TaskIntervals>,
    /// Load of the experts, summed over all gates; `None` for a model without gates.
    pub routing: Option<RoutingStats>,
    /// Routing statistics of each gate.
    pub gates: Vec<GateSummary>,
    /// For each gate and row, the expert with the largest weight (the first of equals; N if the row has no expert).
    pub main_experts: Vec<Vec<u32>>,
}

/// Loss and metrics of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TaskMetrics {
    /// Metrics of a binary task.
    Binary {
        /// Mean binary cross-entropy.
        loss: f64,
        /// Area under the ROC curve; `None` if only one class occurs.
        auc: Option<f64>,
        /// Fraction of rows on the correct side of probability 1/2.
        accuracy: f64,
    },
    /// Metrics of a multiclass task.
    Multiclass {
        /// Mean cross-entropy.
        loss: f64,
        /// Fraction of rows whose largest logit is that of the correct class.
        accuracy: f64,
    },
    /// Metrics of a regression.
    Regression {
        /// Mean squared error over the rows with a target.
        loss: f64,
        /// The loss under its own name.
        mse: f64,
    },
}

impl TaskMetrics {
    /// The loss of the task.
    pub fn loss(&self) -> f64 {
        match self {
            TaskMetrics::Binary { loss, .. }
            | TaskMetrics::Multiclass { loss, .. }
            | TaskMetrics::Regression { loss, .. } => *loss,
        }
    }
}

/// Evaluates `model` on all rows of `source`, `batch_rows` rows at a time.
///
/// # Panics
/// If the model does not fit the source, or there is not one weight per task.
pub fn evaluate(
    model: &dyn Model,
    source: &dyn BatchSource,
    task_weights: &[Real],
    batch_rows: usize,
) -> Evaluation {
    let tasks = source.tasks();
    assert_eq!(tasks.len(), task_weights.len(), "one weight per task");
    let rows: Vec<u32> = (0..source.rows() as u32).collect();
    let mut columns: Vec<TaskColumn> = tasks.iter().map(|_| TaskColumn::default()).collect();
    let mut stats = RoutingStats::default();
    let mut gates: Vec<GateStats> = Vec::new();
    let mut main_experts: Vec<Vec<u32>> = Vec::new();
    for rows in rows.chunks(batch_rows.max(1)) {
        let batch = source.batch(rows);
        let tape = Tape::inference();
        let output = model.forward(&tape, &Pass::inference(&batch), &batch.inputs);
        for ((column, prediction), target) in
            columns.iter_mut().zip(&output.predictions).zip(&batch.targets)
        {
            column.add(prediction.value().as_slice(), target);
        }
        main_experts.resize_with(output.routings.len(), Vec::new);
        gates.resize_with(output.routings.len(), GateStats::default);
        let by_gate = gates.iter_mut().zip(&mut main_experts);
        for (routing, (gate, main)) in output.routings.iter().zip(by_gate) {
            stats.add(&routing.assignments);
            gate.add_routing(routing);
            add_main_experts(routing, main);
        }
    }
    let results = columns.iter().zip(tasks).map(|(column, task)| column.metrics(task.kind));
    let (tasks, intervals): (Vec<_>, Vec<_>) = results.unzip();
    let weighted = tasks.iter().zip(task_weights).map(|(task, &w)| f64::from(w) * task.loss());
    Evaluation {
        loss: weighted.sum(),
        routing: (!main_experts.is_empty()).then_some(stats),
        gates: gates.iter().map(GateStats::summary).collect(),
        main_experts,
        tasks,
        intervals,
    }
}

fn add_main_experts(routing: &Routing<'_>, main: &mut Vec<u32>) {
    let assignments = &routing.assignments;
    let weights = routing.weights.value();
    for row in 0..assignments.rows() {
        let largest = assignments.pairs_of(row).max_by(|&a, &b| {
            weights.as_slice()[a].total_cmp(&weights.as_slice()[b]).then(b.cmp(&a))
        });
        main.push(largest.map_or(assignments.num_experts() as u32, |p| assignments.experts()[p]));
    }
}

/// Predictions and targets of one task, collected over the batches.
#[derive(Default)]
struct TaskColumn {
    predictions: Vec<f64>,
    /// Targets of a regression, for the rows that have one.
    values: Vec<f64>,
    positive: Vec<bool>,
    classes: Vec<u32>,
}

impl TaskColumn {
    fn add(&mut self, predictions: &[Real], target: &Target) {
        let all = predictions.iter().map(|&p| f64::from(p));
        match target {
            Target::Binary(values) => {
                self.predictions.extend(all);
                self.positive.extend(values.iter().map(|&v| v > 0.5));
            }
            Target::Multiclass(classes) => {
                self.predictions.extend(all);
                self.classes.extend(classes);
            }
            Target::Regression { values, present } => {
                let kept = all.zip(values).zip(present).filter(|(_, present)| **present);
                for ((prediction, &value), _) in kept {
                    self.predictions.push(prediction);
                    self.values.push(f64::from(value));
                }
            }
        }
    }

    fn metrics(&self, kind: TaskKind) -> (TaskMetrics, TaskIntervals) {
        let predictions = &self.predictions;
        let of_losses = |losses: &[f64]| {
            let rows = losses.len();
            let interval = intervals::mean(losses);
            (metrics::mean(losses), TaskIntervals { rows, loss: interval, ..Default::default() })
        };
        match kind {
            TaskKind::Binary => {
                let (loss, intervals) =
                    of_losses(&metrics::log_losses(predictions, &self.positive));
                let predicted: Vec<bool> = predictions.iter().map(|&z| z > 0.0).collect();
                let accuracy = metrics::accuracy(&predicted, &self.positive);
                let auc = metrics::roc_auc(predictions, &self.positive);
                let positives = self.positive.iter().filter(|&&positive| positive).count();
                let negatives = self.positive.len() - positives;
                let intervals = TaskIntervals {
                    auc: auc.and_then(|auc| intervals::auc(auc, positives, negatives)),
                    accuracy: intervals::share(accuracy, intervals.rows),
                    ..intervals
                };
                (TaskMetrics::Binary { loss, auc, accuracy }, intervals)
            }
            TaskKind::Multiclass { classes } => {
                let losses = metrics::cross_entropies(predictions, classes, &self.classes);
                let (loss, intervals) = of_losses(&losses);
                let largest = |row: &[f64]| {
                    let best =
                        (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a)));
                    best.unwrap_or(0) as u32
                };
                let predicted: Vec<u32> =
                    predictions.chunks_exact(classes.max(1)).map(largest).collect();
                let accuracy = metrics::accuracy(&predicted, &self.classes);
                let interval = intervals::share(accuracy, intervals.rows);
                let intervals = TaskIntervals { accuracy: interval, ..intervals };
                (TaskMetrics::Multiclass { loss, accuracy }, intervals)
            }
            TaskKind::Regression => {
                let (mse, intervals) =
                    of_losses(&metrics::squared_errors(predictions, &self.values));
                (TaskMetrics::Regression { loss: mse, mse }, intervals)
            }
        }
    }
}
