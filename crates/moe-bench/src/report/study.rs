//! What `moe tune` prints.

use crate::report::comparison::spread;
use crate::report::document::Block;
use crate::study::space::Parameters;
use crate::study::summary::{RouterTrials, StudySummary};

/// The table of a study, how to read it, and the best parameters.
pub(crate) fn study(summary: &StudySummary) -> Vec<Block> {
    let heads = [
        "router",
        "complete",
        "stopped",
        "failed",
        "running",
        "epochs",
        "hours",
        "best val loss",
        "its test loss",
        "top 5 % test loss",
    ];
    let rows = summary.routers.iter().map(row);
    let mut blocks = vec![
        Block::table(heads, rows),
        Block::Paragraph(format!(
            "{}, {}. Lower is better. \"top 5 %\" is the mean test loss ± standard error of the trials with the lowest \
             validation losses, 5 % of all that have ended.",
            summary.study, summary.dataset
        )),
    ];
    blocks.extend(summary.check_equal_budgets().err().map(|unequal| {
        // Forced, or not done.
        Block::Paragraph(unequal.sentence())
    }));
    let best: Vec<String> = summary.routers.iter().filter_map(best).collect();
    if !best.is_empty() {
        let text = "Best parameters by validation loss:";
        blocks.extend([Block::Paragraph(text.into()), Block::List(best)]);
    }
    blocks
}

fn row(of: &RouterTrials) -> Vec<String> {
    let loss = |loss: Option<f64>| loss.map_or("-".into(), |loss| format!("{loss:.4}"));
    let best = of.best.as_ref();
    let top = of.top.as_ref();
    let (complete, pruned, failed) = (of.complete, of.pruned, of.failed);
    vec![
        of.router.clone(),
        complete.to_string(),
        pruned.to_string(),
        failed.to_string(),
        of.unfinished.to_string(),
        of.epochs.to_string(),
        format!("{:.2}", of.seconds / 3600.0),
        loss(best.map(|best| best.val_loss)),
        loss(best.and_then(|best| best.test_loss)),
        top.map_or("-".into(), |top| format!("{} (n = {})", spread(&top.test), top.kept)),
    ]
}

/// The best trial of a router in a line.
fn best(of: &RouterTrials) -> Option<String> {
    let best = of.best.as_ref()?;
    Some(format!("{}, trial {}: {}", of.router, best.number, assignments(&best.parameters)))
}

fn assignments(parameters: &Parameters) -> String {
    let each = parameters.iter().map(|(name, value)| match value.as_str() {
        Some(word) => format!("{name}={word}"),
        None => format!("{name}={value}"),
    });
    each.collect::<Vec<_>>().join(" ")
}
