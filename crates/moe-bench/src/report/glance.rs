//! What `moe compare` prints on a terminal: what answers at a glance, in lines of at most 100 characters.

use crate::experiment::results::{Comparison, RouterSummary, RunResult, VsBaseline};
use crate::report::comparison::{AlarmKind, alarms, loss, runs_that_diverged};
use crate::report::document::Block;
use crate::report::gap::gap_closed;
use crate::report::verdict::verdict;

/// The longest line.
const WIDTH: usize = 100;

/// A router of which at least this share of the rows goes to one set of experts does not route.
const ROUTES_BELOW: f64 = 0.95;

/// A column: the lines of its head, and a cell for each router.
type Column = (String, Vec<String>);

/// The table, the verdict, how to read the table, and what went wrong.
pub(crate) fn glance(comparison: &Comparison) -> Vec<Block> {
    let (table, hidden) = table(comparison);
    let mut blocks = vec![table, Block::Paragraph(wrapped(&verdict(comparison), 0))];
    blocks.push(Block::Paragraph(wrapped(&legend(comparison, hidden), 0)));
    let diverged = runs_that_diverged(comparison);
    if !diverged.is_empty() {
        let text = "Runs that diverged, which are not in the table:";
        blocks.extend([Block::Paragraph(text.into()), list(diverged)]);
    }
    blocks.extend(gap_closed(comparison).map(|text| Block::Paragraph(wrapped(&text, 0))));
    let alarms = alarms(comparison);
    if !alarms.is_empty() {
        let text = "Alarms of gates on the test split, and what to try:";
        blocks.extend([Block::Paragraph(text.into()), list(alarms.iter().map(line).collect())]);
    }
    blocks
}

fn list(items: Vec<String>) -> Block {
    Block::List(items.iter().map(|item| wrapped(item, 2)).collect())
}

/// The table, the router with the lowest test loss first, and the number of tasks whose metric it has no room for.
fn table(comparison: &Comparison) -> (Block, usize) {
    let mut summaries: Vec<&RouterSummary> = comparison.summary.iter().collect();
    // A router without a finished run comes last: its loss is NaN.
    summaries.sort_by(|a, b| a.test_loss.mean.total_cmp(&b.test_loss.mean));
    let column = |head: &str, cell: &dyn Fn(&RouterSummary) -> String| -> Column {
        (head.to_owned(), summaries.iter().map(|of| cell(of)).collect())
    };
    let runs = |of: &RouterSummary| comparison.runs_of(&of.router);
    let first = [column("router", &|of| of.router.clone()), column("test loss\n± s.e.", &loss)];
    let against = format!("vs {}\n%", comparison.baseline());
    let last = [
        column(&against, &|of| of.vs_baseline.as_ref().map_or("baseline".into(), difference)),
        column("experts\na row", &|of| mean(&runs(of), 2, |run| run.routing.experts_per_row_eval)),
        column("µs\na row", &|of| mean(&runs(of), 1, |run| run.cost.test_microseconds_per_row)),
        column("routes\n", &|of| routes(&runs(of))),
    ];
    let tasks = comparison.dataset.tasks.iter().map(|task| {
        column(&format!("{}\n{}", task.name, task.main_metric), &|of| {
            let values = runs(of);
            let values = values.iter().map(|run| run.test.metric(&task.name, &task.main_metric));
            let values: Option<Vec<f64>> = values.collect();
            let values = values.filter(|values| !values.is_empty());
            values.map_or("-".into(), |values| {
                format!("{:.4}", values.iter().sum::<f64>() / values.len() as f64)
            })
        })
    });
    let fixed: usize = first.iter().chain(&last).map(width).sum();
    let mut room = WIDTH.saturating_sub(fixed);
    let all = comparison.dataset.tasks.len();
    let shown: Vec<Column> = tasks
        .take_while(|task| {
            let fits = width(task) <= room;
            room = room.saturating_sub(width(task));
            fits
        })
        .collect();
    let hidden = all - shown.len();
    let columns: Vec<Column> = first.into_iter().chain(shown).chain(last).collect();
    let heads = columns.iter().map(|(head, _)| head.clone());
    let rows =
        (0..summaries.len()).map(|i| columns.iter().map(|(_, cells)| cells[i].clone()).collect());
    (Block::table(heads, rows), hidden)
}

/// The characters that a column takes, with a blank on both sides.
fn width((head, cells): &Column) -> usize {
    let lines = head.split('\n').chain(cells.iter().map(String::as_str));
    2 + lines.map(|line| line.chars().count()).max().unwrap_or(0)
}

/// The mean of the runs; a dash where there is none, or only zeros, as for a model without gates.
fn mean(runs: &[&RunResult], digits: usize, value: fn(&RunResult) -> f64) -> String {
    let sum: f64 = runs.iter().map(|run| value(run)).sum();
    if sum == 0.0 { "-".into() } else { format!("{:.digits$}", sum / runs.len() as f64) }
}

/// The difference from the baseline in percent, with its corrected interval.
fn difference(vs: &VsBaseline) -> String {
    let percent = 100.0 * vs.relative;
    match vs.corrected95.or(vs.ci95) {
        Some([low, high]) => {
            format!("{percent:+.1} [{:+.1}, {:+.1}]", 100.0 * low, 100.0 * high)
        }
        None => format!("{percent:+.1}"),
    }
}

/// Whether the rows go to different experts, with the share of those that go to the most frequent set. A dash for a model
/// without gates, and where every expert has every row.
pub(crate) fn routes(runs: &[&RunResult]) -> String {
    let gated = runs.iter().filter(|run| {
        let experts = run.routing.experts_per_row_eval;
        experts > 0.0 && experts < run.num_experts as f64
    });
    let shares: Vec<f64> = gated.map(|run| run.routing.top_set_share).collect();
    if shares.is_empty() {
        return "-".into();
    }
    let share = shares.iter().sum::<f64>() / shares.len() as f64;
    let answer = if share < ROUTES_BELOW { "yes" } else { "no" };
    format!("{answer} {:.0} %", 100.0 * share)
}

fn legend(comparison: &Comparison, hidden: usize) -> String {
    let rows = comparison.dataset.rows;
    let config = &comparison.config;
    let mut text = format!(
        "{}: {} training, {} validation, {} test rows; {} seed(s). Lower loss is better. ",
        comparison.dataset.name, rows.train, rows.val, rows.test, config.run.seeds
    );
    let compared = comparison.summary.iter().filter(|of| of.vs_baseline.is_some()).count();
    if config.run.seeds > 1 && compared > 0 {
        text += &format!(
            "Intervals are paired by seed and cover with 95 % for all {compared} comparison(s) together. "
        );
    }
    text += &format!(
        "\"routes\" has the share of the rows that go to the most frequent set of experts: no from {:.0} % on. ",
        100.0 * ROUTES_BELOW
    );
    text += &capped(comparison);
    if hidden > 0 {
        text += &format!("There is no room for the metrics of {hidden} task(s). ");
    }
    text + "--wide prints all columns."
}

/// How many runs ended at their last epoch, where they may not have converged.
fn capped(comparison: &Comparison) -> String {
    let runs = &comparison.runs;
    let is_capped = |run: &&RunResult| {
        let own = comparison.config.for_router(&run.router);
        own.is_ok_and(|own| run.epochs >= own.train.epochs)
    };
    match runs.iter().filter(is_capped).count() {
        0 => String::new(),
        count => format!(
            "{count} of {} runs ended at the last epoch (train.epochs = {}): more epochs may change the order. ",
            runs.len(),
            comparison.config.train.epochs
        ),
    }
}

/// A line for a kind of alarm: which routers have it, what it means, and what to try.
fn line(AlarmKind { name, routers, example }: &AlarmKind<'_>) -> String {
    // The example begins with the name of its kind.
    let example =
        example.strip_prefix(*name).map_or(*example, |text| text.trim_start_matches([':', ' ']));
    format!("{name}: {routers}. Such as: {example}")
}

/// The text in lines of at most [`WIDTH`] characters, all but the first of which are indented; a longer word has a line of its
/// own.
pub(crate) fn wrapped(text: &str, indent: usize) -> String {
    let (mut lines, mut length) = (String::new(), indent);
    for word in text.split(' ') {
        let longer = length + 1 + word.chars().count();
        if lines.is_empty() {
            length += word.chars().count();
        } else if longer <= WIDTH {
            lines.push(' ');
            length = longer;
        } else {
            lines.push('\n');
            lines += &" ".repeat(indent);
            length = indent + word.chars().count();
        }
        lines += word;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_wrapped_between_words() {
        let text = "word ".repeat(50);
        let lines = wrapped(text.trim_end(), 2);
        assert!(lines.lines().all(|line| line.chars().count() <= WIDTH), "{lines}");
        assert!(lines.lines().skip(1).all(|line| line.starts_with("  word")), "{lines}");
        assert_eq!(lines.split_whitespace().count(), 50);
        assert_eq!(wrapped("short", 2), "short");
        let long = "x".repeat(150);
        assert_eq!(wrapped(&format!("a {long} b"), 0), format!("a\n{long}\nb"));
    }
}
