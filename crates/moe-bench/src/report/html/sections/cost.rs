//! Time and memory.

use crate::experiment::results::RunResult;
use crate::report::document::Block;
use crate::report::html::section::Section;

/// A line per router: means over its runs.
pub(super) fn of_runs(routers: &[String], runs: &[RunResult]) -> Section {
    let mut rows = Vec::new();
    for router in routers {
        let own: Vec<&RunResult> = runs.iter().filter(|run| run.router == *router).collect();
        if own.is_empty() {
            continue;
        }
        let mean = |value: &dyn Fn(&RunResult) -> f64| {
            own.iter().map(|run| value(run)).sum::<f64>() / own.len() as f64
        };
        let known = |value: &dyn Fn(&RunResult) -> Option<f64>| {
            let values: Option<Vec<f64>> = own.iter().map(|run| value(run)).collect();
            values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
        };
        let or_dash = |value: Option<f64>, digits: usize| {
            value.map_or("-".into(), |value| format!("{value:.digits$}"))
        };
        let largest = own.iter().filter_map(|run| run.cost.peak_memory_bytes).max();
        rows.push(vec![
            router.clone(),
            own[0].parameters.to_string(),
            format!("{:.1}", mean(&|run| run.epochs as f64)),
            format!("{:.1}", mean(&|run| run.seconds)),
            format!("{:.1}", mean(&|run| run.cost.wall_seconds)),
            or_dash(known(&|run| run.cost.cpu_seconds), 1),
            format!("{:.0}", mean(&|run| run.steps_per_second)),
            format!("{:.0}", mean(&|run| run.cost.train_rows_per_second)),
            format!("{:.2}", mean(&|run| run.cost.test_microseconds_per_row)),
            or_dash(largest.map(|bytes| bytes as f64 / f64::from(1 << 20)), 0),
        ]);
    }
    let heads = [
        "router",
        "parameters",
        "epochs",
        "training s",
        "wall s",
        "CPU s",
        "steps/s",
        "training rows/s",
        "µs/row in inference",
        "peak MiB",
    ];
    let note = "Means over the runs of a router; \"peak MiB\" is the largest memory of the process up to then, with its data and \
                earlier runs. All of it is of the machine that ran, and differs from run to run.";
    Section::new("cost", "Time and cost")
        .blocks([Block::table(heads, rows), Block::Paragraph(note.into())])
}
