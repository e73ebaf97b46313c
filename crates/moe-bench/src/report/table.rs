//! Comparisons as tables for people.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};

use crate::experiment::results::VsBaseline;
use crate::experiment::results::{Comparison, RunResult};
use crate::experiment::statistics::Summary;

/// How a table is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Text,
    Markdown,
}

/// A column: its head, and its cell for the runs of one router.
type Column<'a> = (String, Box<dyn Fn(&[&RunResult]) -> String + 'a>);

/// The table of a comparison, with a line that says how to read it.
pub(crate) fn comparison(comparison: &Comparison, style: Style) -> String {
    let mut columns: Vec<Column<'_>> = Vec::new();
    columns.push(("test loss".into(), Box::new(|runs| spread(runs, |run| run.test.loss, 4))));
    for task in &comparison.dataset.tasks {
        let name = match task.kind {
            "binary" => "auc",
            "multiclass" => "accuracy",
            _ => "mse",
        };
        let task = &task.name;
        let cell = move |runs: &[&RunResult]| {
            if runs.iter().any(|run| run.test.metric(task, name).is_none()) {
                return "-".into();
            }
            spread(runs, |run| run.test.metric(task, name).unwrap_or(f64::NAN), 4)
        };
        columns.push((format!("{task} {name}"), Box::new(cell)));
    }
    let mut mean_column = |head: &str, value: fn(&RunResult) -> f64, digits: usize| {
        let cell = move |runs: &[&RunResult]| {
            let mean = mean(runs, value);
            // A model without gates has zeros for its routing.
            let is_dense = runs.iter().all(|run| run.routing.experts_per_row_eval == 0.0);
            if mean == 0.0 && is_dense { "-".into() } else { format!("{mean:.digits$}") }
        };
        columns.push((head.into(), Box::new(cell)));
    };
    mean_column("experts/row train", |run| run.routing.experts_per_row_train, 2);
    mean_column("eval", |run| run.routing.experts_per_row_eval, 2);
    mean_column("up to K", |run| run.routing.rows_up_to_k, 3);
    mean_column("load entropy", |run| run.routing.load_entropy, 3);
    mean_column("max load", |run| run.routing.max_load, 3);
    mean_column("dead", |run| run.routing.dead_experts as f64, 1);
    mean_column("information", |run| run.routing.mutual_information, 3);
    mean_column("same set", |run| run.routing.top_set_share, 3);
    if comparison.runs.iter().any(|run| run.routing.adjusted_rand_index.is_some()) {
        mean_column("rand index", |run| run.routing.adjusted_rand_index.unwrap_or(0.0), 3);
    }
    mean_column("epochs", |run| run.epochs as f64, 1);
    mean_column("seconds", |run| run.seconds, 1);
    mean_column("steps/s", |run| run.steps_per_second, 1);

    let mut heads = vec!["router"];
    heads.extend(columns.iter().map(|(head, _)| head.as_str()));
    heads.push("vs baseline");
    let rows = comparison.summary.iter().map(|summary| {
        let runs: Vec<&RunResult> =
            comparison.runs.iter().filter(|run| run.router == summary.router).collect();
        let mut row = vec![summary.router.clone()];
        row.extend(columns.iter().map(|(_, cell)| cell(&runs)));
        row.push(summary.vs_baseline.as_ref().map_or("baseline".into(), against));
        row
    });
    let table = drawn(style, &heads, rows);
    format!("{table}\n{}\n{}", legend(comparison), alarms(comparison))
}

/// A table whose first column is on the left and all others on the right, with a line's end.
pub(crate) fn drawn(
    style: Style,
    heads: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let mut table = Table::new();
    table.load_preset(match style {
        Style::Text => presets::NOTHING,
        Style::Markdown => presets::ASCII_MARKDOWN,
    });
    table.set_header(heads);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

/// A line per kind of alarm: which routers, in how many of their gates.
fn alarms(comparison: &Comparison) -> String {
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for summary in &comparison.summary {
        let runs = comparison.runs.iter().filter(|run| run.router == summary.router);
        let all: usize = runs.clone().map(|run| run.routing.gates.len()).sum();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        runs.flat_map(|run| &run.routing.alarms)
            .for_each(|alarm| *counts.entry(alarm.alarm).or_default() += 1);
        for (kind, count) in counts {
            kinds.entry(kind).or_default().push(format!("{} {count} of {all}", summary.router));
        }
    }
    let lines = kinds.iter().map(|(kind, routers)| format!("- {kind}: {}\n", routers.join(", ")));
    match lines.collect::<String>() {
        lines if lines.is_empty() => lines,
        lines => format!(
            "\nGates that look wrong on the test part (why, and what to try: `alarms` of the JSON):\n{lines}"
        ),
    }
}

fn legend(comparison: &Comparison) -> String {
    let rows = comparison.dataset.rows;
    format!(
        "{}: {} training, {} validation, {} test rows; {} seed(s); mean ± standard error. Lower loss is better. \
         \"up to K\" is the share of rows with at most K experts, \"information\" what the experts say of the row (0: all rows are routed alike, 1: each expert has its own \
         rows), \"same set\" the share of rows that go to the same experts. \"vs baseline\" is the relative difference in test loss with its 95 % interval, paired by seed.",
        comparison.dataset.name, rows.train, rows.val, rows.test, comparison.config.run.seeds
    )
}

fn mean(runs: &[&RunResult], value: impl Fn(&RunResult) -> f64) -> f64 {
    runs.iter().map(|run| value(run)).sum::<f64>() / runs.len() as f64
}

fn spread(runs: &[&RunResult], value: impl Fn(&RunResult) -> f64, digits: usize) -> String {
    let values: Vec<f64> = runs.iter().map(|run| value(run)).collect();
    match Summary::of(&values) {
        Summary { mean, stderr: Some(stderr) } => format!("{mean:.digits$} ± {stderr:.digits$}"),
        Summary { mean, stderr: None } => format!("{mean:.digits$}"),
    }
}

fn against(vs: &VsBaseline) -> String {
    let percent = |share: f64| format!("{:+.1} %", 100.0 * share);
    match vs.ci95 {
        Some([low, high]) => {
            format!("{} [{}, {}]", percent(vs.relative), percent(low), percent(high))
        }
        None => percent(vs.relative),
    }
}
