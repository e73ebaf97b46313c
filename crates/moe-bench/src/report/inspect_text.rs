//! What `moe inspect` has found, for people.

use std::fmt::Write;

use moe_routers::telemetry::{SplitSummary, TreeSummary};

use crate::commands::inspect::{GateView, GroupedLoad, Inspection};
use crate::experiment::groups::By;
use crate::report::table::{Style, drawn};

/// Longest bar, in characters.
const BAR: usize = 40;
/// Splits of a tree in one line.
const SPLITS: usize = 8;

/// All of it.
pub(crate) fn text(inspection: &Inspection, style: Style) -> String {
    let Inspection { about, experts, k, gates, .. } = inspection;
    let mut text = heading(style, 1, &about.line());
    if gates.is_empty() {
        return text + "The model has no gates.\n";
    }
    let _ = writeln!(text, "{experts} experts, {} gate(s), K = {k}\n", gates.len());
    for gate in gates {
        text += &of_gate(gate, style);
    }
    if !inspection.nearest.is_empty() {
        text += &heading(style, 2, "Experts with the most similar weights");
        let rows = inspection.nearest.iter().map(|found| {
            vec![
                found.expert.to_string(),
                found.nearest.to_string(),
                format!("{:.3}", found.cosine),
            ]
        });
        text += &drawn(style, &["expert", "nearest", "cosine"], rows);
    }
    text
}

fn of_gate(view: &GateView, style: Style) -> String {
    let GateView { gate, task, summary, alarms, groups, trees } = view;
    let mut text = heading(style, 2, &format!("Gate {gate} ({task})"));
    let _ = writeln!(
        text,
        "{:.2} experts per row, load entropy {:.3} (1: balanced), {} dead, confidence {:.3}, information {:.3} (0: all \
         rows are routed alike){}",
        summary.experts_per_row,
        summary.load_entropy,
        summary.dead_experts,
        summary.confidence,
        summary.mutual_information,
        match summary.dropped {
            0.0 => String::new(),
            share => format!(", {} dropped", percent(share)),
        }
    );
    for alarm in alarms {
        let _ = writeln!(text, "{}{}", bullet(style), alarm.text);
    }
    text.push('\n');
    text += &load(&summary.load_share, &summary.weight_share, style);
    for grouped in groups {
        text.push('\n');
        text += &who(grouped, style);
    }
    for (i, tree) in trees.iter().enumerate() {
        text.push('\n');
        text += &of_tree(i, tree, style);
    }
    text.push('\n');
    text
}

/// A line per expert.
fn load(load: &[f64], weight: &[f64], style: Style) -> String {
    let largest = load.iter().copied().fold(0.0, f64::max);
    let rows = load.iter().zip(weight).enumerate().map(|(expert, (&load, &weight))| {
        let bar = match load {
            0.0 => "dead".to_owned(),
            // What has any load has a mark.
            _ => "█".repeat(((load / largest * BAR as f64).round() as usize).max(1)),
        };
        vec![expert.to_string(), percent(load), percent(weight), format!("{bar:<BAR$}")]
    });
    drawn(style, &["expert", "load", "weight", &format!("{:<BAR$}", "")], rows)
}

/// A line per group: who goes where.
fn who(grouped: &GroupedLoad, style: Style) -> String {
    let head = match grouped.by {
        By::Class => format!("class of {}", grouped.of),
        By::Frequency => format!("{} in training", grouped.of),
        By::Planted => "planted expert".into(),
    };
    let rows = grouped.groups.iter().map(|group| {
        vec![
            group.name.clone(),
            group.rows.to_string(),
            strip(&group.load_share),
            largest(&group.load_share),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    drawn(style, &[&one_cell(&head), "rows", "experts", "most to"], rows.into_iter().map(cells))
}

/// The splits of a tree, level by level, and its leaves.
fn of_tree(number: usize, tree: &TreeSummary, style: Style) -> String {
    let mut text = format!(
        "Tree {number}: of the rows that come to a split the share that goes right, and in brackets of those that go one \
         way only\n"
    );
    if style == Style::Markdown {
        text += "\n```text\n";
    }
    let split = |split: &SplitSummary| match (split.right, split.decided) {
        (Some(right), Some(decided)) => {
            format!("{:>3.0} % ({:.0} %)", 100.0 * right, 100.0 * decided)
        }
        _ => "  -".to_owned(),
    };
    for level in tree.splits.chunk_by(|a, b| a.level == b.level) {
        for (i, line) in level.chunks(SPLITS).enumerate() {
            let name = if i == 0 { format!("level {}", line[0].level) } else { String::new() };
            let cells: Vec<String> = line.iter().map(|s| format!("{:<14}", split(s))).collect();
            let _ = writeln!(text, "  {name:<9} {}", cells.concat().trim_end());
        }
    }
    for (i, line) in tree.leaves.chunks(SPLITS).enumerate() {
        let name = if i == 0 { "leaves" } else { "" };
        let cells = line.iter().map(|leaf| {
            let share = if leaf.reached > 0.0 { percent(leaf.share) } else { "-".into() };
            format!("{:<14}", format!("{}: {share}", leaf.expert))
        });
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(text, "  {name:<9} {}", cells.concat().trim_end());
    }
    if style == Style::Markdown {
        text += "```\n";
    }
    text
}

/// A character per expert, as high as its share of the largest.
fn strip(shares: &[f64]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let largest = shares.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let level = |share: f64| match share {
        0.0 => '·',
        _ => LEVELS[((share / largest * 8.0).ceil() as usize).clamp(1, 8) - 1],
    };
    shares.iter().map(|&share| level(share)).collect()
}

/// The experts with the most rows.
fn largest(shares: &[f64]) -> String {
    const MOST: usize = 3;
    let mut order: Vec<usize> = (0..shares.len()).filter(|&expert| shares[expert] > 0.0).collect();
    order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]));
    let named = order.iter().take(MOST).map(|&e| format!("{e}: {}", percent(shares[e])));
    named.collect::<Vec<_>>().join(", ")
}

fn heading(style: Style, level: usize, text: &str) -> String {
    match style {
        Style::Text => format!(
            "{text}\n{}\n\n",
            if level == 1 { "=" } else { "-" }.repeat(text.chars().count())
        ),
        Style::Markdown => format!("{} {text}\n\n", "#".repeat(level)),
    }
}

fn bullet(style: Style) -> &'static str {
    match style {
        Style::Text => "! ",
        Style::Markdown => "\n- ",
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn cells(row: Vec<String>) -> Vec<String> {
    row.iter().map(|text| one_cell(text)).collect()
}

/// A name of the data's own, on one line and in one cell.
fn one_cell(name: &str) -> String {
    name.replace(char::is_control, " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_seen() {
        assert_eq!(strip(&[0.0, 0.5, 0.25, 0.001]), "·█▄▁");
        assert_eq!(strip(&[0.0, 0.0]), "··");
        assert_eq!(largest(&[0.0, 0.5, 0.25, 0.125, 0.125]), "1: 50.0 %, 2: 25.0 %, 3: 12.5 %");
        assert_eq!(largest(&[0.0]), "");
    }
}
