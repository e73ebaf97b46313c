use std::sync::Arc;

use moe_core::batch::BatchSource;
use moe_core::tape::Tape;
use moe_core::task::{TaskMetrics, TaskRows, UnknownMetric};
use moe_core::{Pass, Real};
use moe_routers::telemetry::{GateStats, GateSummary};
use moe_routers::{Routing, RoutingStats};

use crate::models::model::Model;

/// Quality of a model on a data split, without dropout and with the inference rule of its routers.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Sum of task weight times task loss, without auxiliary terms.
    pub loss: f64,
    /// Loss and metrics of each task, with their confidence intervals.
    pub tasks: Vec<TaskMetrics>,
    /// For each task, the number of rows with outputs that are not finite, with or without a target.
    pub non_finite: Vec<usize>,
    /// Load of the experts, summed over all gates of all MoE layers; `None` for a model without gates.
    pub routing: Option<RoutingStats>,
    /// Routing statistics of each gate of each MoE layer.
    pub gates: Vec<GateSummary>,
    /// For each gate and row of its layer, the expert with the largest weight (the first of equals; N if the row has no
    /// expert).
    pub main_experts: Vec<Vec<u32>>,
}

/// Evaluates `model` on all rows of `source`, `batch_rows` rows at a time, with the default metrics of each task.
///
/// # Panics
/// If the model does not fit the source, or there is not one weight per task.
pub fn evaluate(
    model: &dyn Model,
    source: &dyn BatchSource,
    task_weights: &[Real],
    batch_rows: usize,
) -> Evaluation {
    let evaluation = evaluate_with(model, source, task_weights, batch_rows, &[]);
    evaluation.expect("no metric is unknown where none is asked for")
}

/// [`evaluate`] with more metrics, such as `f1`: each task measures those that its kind has, after its default ones.
///
/// # Errors
/// If none of the tasks has a metric.
///
/// # Panics
/// As `evaluate`.
pub fn evaluate_with(
    model: &dyn Model,
    source: &dyn BatchSource,
    task_weights: &[Real],
    batch_rows: usize,
    metrics: &[String],
) -> Result<Evaluation, UnknownMetric> {
    let tasks = source.tasks();
    UnknownMetric::check(tasks, metrics)?;
    assert_eq!(tasks.len(), task_weights.len(), "one weight per task");
    let rows: Vec<u32> = (0..source.rows() as u32).collect();
    let mut non_finite = vec![0; tasks.len()];
    let mut columns = vec![TaskRows::default(); tasks.len()];
    let mut stats = RoutingStats::default();
    let mut gates: Vec<(Arc<str>, usize, GateStats)> = Vec::new();
    let mut main_experts: Vec<Vec<u32>> = Vec::new();
    for rows in rows.chunks(batch_rows.max(1)) {
        let batch = source.batch(rows);
        let tape = Tape::inference();
        let output = model.run(&tape, &Pass::inference(&batch), &batch.inputs);
        for (task, (prediction, target)) in
            output.predictions.iter().zip(&batch.targets).enumerate()
        {
            let outputs = prediction.value();
            columns[task].add(outputs.as_slice(), target);
            let rows = outputs.as_slice().chunks(tasks[task].kind.outputs());
            non_finite[task] += rows.filter(|row| row.iter().any(|x| !x.is_finite())).count();
        }
        for (at, (layer, gate, routing)) in output.gates().enumerate() {
            if at == gates.len() {
                gates.push((Arc::clone(layer), gate, GateStats::default()));
                main_experts.push(Vec::new());
            }
            stats.add(&routing.assignments);
            gates[at].2.add_routing(routing);
            add_main_experts(routing, &mut main_experts[at]);
        }
    }
    let measured = columns.iter().zip(tasks);
    let measured = measured.map(|(rows, task)| TaskMetrics::of(&*task.kind, rows, metrics));
    let tasks: Vec<TaskMetrics> = measured.collect();
    let weighted = tasks.iter().zip(task_weights).map(|(task, &w)| f64::from(w) * task.loss());
    Ok(Evaluation {
        loss: weighted.sum(),
        non_finite,
        routing: (!main_experts.is_empty()).then_some(stats),
        gates: gates
            .into_iter()
            .map(|(layer, gate, stats)| GateSummary {
                layer: layer.to_string(),
                gate,
                ..stats.summary()
            })
            .collect(),
        main_experts,
        tasks,
    })
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
