//! The whole table of a comparison: what `moe compare --wide` prints, and `report.md` has.

use std::collections::BTreeMap;

use crate::experiment::results::{Comparison, RouterSummary, RunResult, VsBaseline};
use crate::report::document::Block;
use crate::report::gap::gap_closed;
use crate::statistics::summary::Summary;

/// A column with the mean over the runs of a router: its head, its digits, and its value for a run.
type Mean = (&'static str, usize, fn(&RunResult) -> f64);

const ROUTING: [Mean; 8] = [
    ("experts/row train", 2, |run| run.routing.experts_per_row_train),
    ("eval", 2, |run| run.routing.experts_per_row_eval),
    ("up to K", 3, |run| run.routing.rows_up_to_k),
    ("load entropy", 3, |run| run.routing.load_entropy),
    ("max load", 3, |run| run.routing.max_load),
    ("dead", 1, |run| run.routing.dead_experts as f64),
    ("information", 3, |run| run.routing.mutual_information),
    ("same set", 3, |run| run.routing.top_set_share),
];
const RAND_INDEX: Mean = ("rand index", 3, |run| run.routing.adjusted_rand_index.unwrap_or(0.0));
const COST: [Mean; 3] = [
    ("epochs", 1, |run| run.epochs as f64),
    ("seconds", 1, |run| run.seconds),
    ("steps/s", 1, |run| run.steps_per_second),
];

/// The table of a comparison, how to read it, and the alarms.
pub(crate) fn comparison(comparison: &Comparison) -> Vec<Block> {
    let legend = Block::Paragraph(legend(comparison));
    let mut blocks = vec![table(comparison), legend];
    let diverged = runs_that_diverged(comparison);
    if !diverged.is_empty() {
        let text = "Runs that diverged, which are not in the table:";
        blocks.extend([Block::Paragraph(text.into()), Block::List(diverged)]);
    }
    blocks.extend(gap_closed(comparison).map(Block::Paragraph));
    let alarms = alarms(comparison);
    if !alarms.is_empty() {
        let text =
            "Gates with alarms on the test split (`alarms` in the JSON says why, and what to try):";
        let lines = alarms.iter().map(|alarm| format!("{}: {}", alarm.name, alarm.routers));
        blocks.extend([Block::Paragraph(text.into()), Block::List(lines.collect())]);
    }
    blocks
}

/// A line per router.
fn table(comparison: &Comparison) -> Block {
    let tasks = &comparison.dataset.tasks;
    let mut means = ROUTING.to_vec();
    if comparison.runs.iter().any(|run| run.routing.adjusted_rand_index.is_some()) {
        means.push(RAND_INDEX);
    }
    means.extend(COST);

    let mut heads = vec!["router".to_owned(), "test loss".into()];
    heads.extend(tasks.iter().map(|task| format!("{} {}", task.name, task.main_metric)));
    heads.extend(means.iter().map(|(head, ..)| (*head).to_owned()));
    heads.push("vs baseline".into());

    let mut rows = Vec::new();
    for summary in &comparison.summary {
        let runs = comparison.runs_of(&summary.router);
        let mut row = vec![summary.router.clone(), loss(summary)];
        for task in tasks {
            let values = runs.iter().map(|run| run.test.metric(&task.name, &task.main_metric));
            let values: Option<Vec<f64>> = values.collect();
            let values = values.filter(|values| !values.is_empty());
            row.push(values.map_or("-".into(), |values| spread(&Summary::of(&values))));
        }
        // A model without gates has zeros for its routing.
        let is_dense = runs.iter().all(|run| run.routing.experts_per_row_eval == 0.0);
        for &(_, digits, value) in &means {
            let mean = runs.iter().map(|run| value(run)).sum::<f64>() / runs.len() as f64;
            let is_unknown = mean.is_nan() || (mean == 0.0 && is_dense);
            row.push(if is_unknown { "-".into() } else { format!("{mean:.digits$}") });
        }
        row.push(match &summary.vs_baseline {
            Some(vs) => against(vs),
            None if summary.router == comparison.baseline() => "baseline".into(),
            None => "-".into(),
        });
        rows.push(row);
    }
    Block::table(heads, rows)
}

/// A kind of alarm.
pub(crate) struct AlarmKind<'a> {
    pub(crate) name: &'a str,
    /// Each router that has it, and in how many of its gates.
    pub(crate) routers: String,
    /// What it means for the first of these gates, and what to try.
    pub(crate) example: &'a str,
}

/// The kinds of alarms that there are.
pub(crate) fn alarms(comparison: &Comparison) -> Vec<AlarmKind<'_>> {
    let mut kinds: BTreeMap<&str, (Vec<String>, &str)> = BTreeMap::new();
    for summary in &comparison.summary {
        let (mut gates, mut counts) = (0, BTreeMap::new());
        for run in comparison.runs_of(&summary.router) {
            gates += run.routing.gates.len();
            for alarm in &run.routing.alarms {
                counts.entry(&*alarm.alarm).or_insert((0, &*alarm.text)).0 += 1;
            }
        }
        for (kind, (count, text)) in counts {
            let (routers, _) = kinds.entry(kind).or_insert((Vec::new(), text));
            routers.push(format!("{} {count} of {gates}", summary.router));
        }
    }
    let kinds = kinds.into_iter();
    kinds
        .map(|(name, (routers, example))| AlarmKind { name, routers: routers.join(", "), example })
        .collect()
}

fn legend(comparison: &Comparison) -> String {
    let rows = comparison.dataset.rows;
    format!(
        "{}: {} training, {} validation, {} test rows; {} seed(s); mean ± standard error. Lower loss is better. \
         \"up to K\" is the share of rows with at most K experts, \"information\" the mutual information between rows \
         and experts (0: all rows are routed alike, 1: each expert has its own rows), \"same set\" the share of rows \
         that go to the most frequent set of experts. \"vs baseline\" is the relative difference in test loss with its \
         95 % interval, paired by seed.",
        comparison.dataset.name, rows.train, rows.val, rows.test, comparison.config.run.seeds
    )
}

/// Test loss of a router, with the number of its runs that diverged.
pub(crate) fn loss(summary: &RouterSummary) -> String {
    let RouterSummary { runs, diverged, test_loss, .. } = summary;
    match (runs, diverged) {
        (_, 0) => spread(test_loss),
        (0, _) => "diverged".into(),
        (runs, diverged) => {
            format!("{} ({diverged} of {} runs diverged)", spread(test_loss), runs + diverged)
        }
    }
}

/// A line per router: how many of its runs diverged, and why each did.
pub(crate) fn runs_that_diverged(comparison: &Comparison) -> Vec<String> {
    let lines = comparison.summary.iter().filter(|summary| summary.diverged > 0).map(|summary| {
        let RouterSummary { router, runs, diverged, .. } = summary;
        let reasons = comparison.diverged_of(router);
        let reasons = reasons.map(|run| format!("seed {}: {}", run.seed, run.error));
        let reasons = reasons.collect::<Vec<_>>().join("; ");
        format!("{router} {diverged} of {} ({reasons})", runs + diverged)
    });
    lines.collect()
}

pub(crate) fn spread(summary: &Summary) -> String {
    match summary.stderr {
        Some(stderr) => format!("{:.4} ± {stderr:.4}", summary.mean),
        None => format!("{:.4}", summary.mean),
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
