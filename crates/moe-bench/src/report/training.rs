//! What `moe train` prints: a summary of the run.

use std::path::Path;

use crate::experiment::results::RunResult;
use crate::report::document::Block;
use crate::report::evaluation::{alarms, metrics};
use crate::report::glance::{routes, wrapped};

/// The run with this result in this directory.
pub(crate) fn training(run: &RunResult, dataset: &str, dir: &Path) -> Vec<Block> {
    let RunResult { router, seed, epochs, best_epoch, val_loss, test, routing, cost, .. } = run;
    let mut facts = vec![
        format!("test loss {:.4}, validation loss {val_loss:.4}", test.loss),
        format!("weights of epoch {best_epoch} of {epochs}, {} parameters", run.parameters),
        format!(
            "{:.1} s of training, {:.0} rows a second; {:.1} microseconds a row on the test split",
            run.seconds, cost.train_rows_per_second, cost.test_microseconds_per_row
        ),
    ];
    if !routing.gates.is_empty() {
        facts.push(format!(
            "{:.2} experts a row of {}; routes, with the share of the most frequent set of experts: {}",
            routing.experts_per_row_eval,
            run.num_experts,
            routes(&[run])
        ));
    }
    let mut blocks = vec![
        Block::Paragraph(format!("{router} on {dataset}, seed {seed}:")),
        Block::List(facts),
        metrics(test),
    ];
    let alarms = alarms(routing);
    if !alarms.is_empty() {
        let lines = alarms.iter().map(|alarm| wrapped(alarm, 2)).collect();
        blocks.extend([Block::Paragraph("Alarms of gates:".into()), Block::List(lines)]);
    }
    let dir = dir.display();
    let next = [
        format!("moe eval {dir}"),
        format!("moe inspect {dir}"),
        format!("moe predict {dir} --input ROWS --output PREDICTIONS"),
    ];
    blocks.extend([Block::Paragraph("What to do next:".into()), Block::List(next.to_vec())]);
    blocks
}
