//! What `moe eval` prints.

use crate::experiment::evaluation::{EvalResult, Sweep};
use crate::experiment::routing_result::RoutingResult;
use crate::experiment::test_result::TestResult;
use crate::report::document::{Block, one_line};

/// All blocks of an evaluation.
pub(crate) fn evaluation(result: &EvalResult) -> Vec<Block> {
    let EvalResult { about, test, routing, .. } = result;
    let mut blocks = vec![
        Block::Paragraph(about.line()),
        Block::Paragraph(format!("Loss {:.4}", test.loss)),
        metrics(test),
    ];
    if routing.gates.is_empty() {
        blocks.push(Block::Paragraph("The model has no gates.".into()));
    } else {
        blocks.push(gates(routing));
    }
    if !routing.alarms.is_empty() {
        blocks.push(Block::List(alarms(routing)));
    }
    if let Some(sweep) = &result.sweep {
        let note = "All lines are from the same weights; the seconds are measured on this machine.";
        blocks.extend([sweep_table(sweep), Block::Paragraph(note.into())]);
    }
    blocks
}

/// Every metric of every task with its 95 % interval.
pub(crate) fn metrics(test: &TestResult) -> Block {
    let rows = test.metrics().into_iter().map(|metric| {
        let interval = metric.interval.map(|[low, high]| format!("{low:.4} to {high:.4}"));
        vec![
            one_line(metric.task),
            metric.rows.to_string(),
            metric.name.to_owned(),
            value(metric.value),
            interval.unwrap_or_else(|| "-".into()),
        ]
    });
    Block::table(["task", "rows", "metric", "value", "95 % interval"], rows)
}

fn value(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{value:.4}"))
}

/// A line per gate.
pub(crate) fn gates(routing: &RoutingResult) -> Block {
    let heads = [
        "gate",
        "experts/row",
        "load entropy",
        "max load",
        "dead",
        "confidence",
        "information",
        "dropped",
    ];
    let rows = routing.gates.iter().map(|gate| {
        let label = gate.label();
        vec![
            label.strip_prefix("gate ").unwrap_or(&label).to_owned(),
            format!("{:.2}", gate.experts_per_row),
            format!("{:.3}", gate.load_entropy),
            format!("{:.3}", gate.max_load),
            gate.dead_experts.to_string(),
            format!("{:.3}", gate.confidence),
            format!("{:.3}", gate.mutual_information),
            format!("{:.3}", gate.dropped),
        ]
    });
    Block::table(heads, rows)
}

/// A line per alarm of a gate.
pub(crate) fn alarms(routing: &RoutingResult) -> Vec<String> {
    let alarms = routing.alarms.iter();
    alarms.map(|alarm| format!("{}: {}", alarm.label(), alarm.text)).collect()
}

/// A line per value of the sweep.
fn sweep_table(sweep: &Sweep) -> Block {
    let mut heads = vec![sweep.parameter.to_owned(), "loss".into()];
    let mut rows = Vec::new();
    for (i, line) in sweep.values.iter().enumerate() {
        let own = if line.own { " (as trained)" } else { "" };
        let mut row = vec![format!("{}{own}", line.value), format!("{:.4}", line.test.loss)];
        for metric in line.test.metrics().iter().filter(|metric| metric.name != "loss") {
            if i == 0 {
                heads.push(format!("{} {}", metric.task, metric.name));
            }
            row.push(value(metric.value));
        }
        row.extend([
            format!("{:.2}", line.experts_per_row),
            line.dead_experts.to_string(),
            format!("{:.3}", line.dropped),
            format!("{:.0}", line.cost.multiply_adds_per_row),
            format!("{:.5}", line.cost.seconds_per_thousand_rows),
        ]);
        rows.push(row);
    }
    let cost = ["experts/row", "dead", "dropped", "multiply-adds/row", "seconds/1000 rows"];
    heads.extend(cost.map(String::from));
    Block::table(heads, rows)
}
