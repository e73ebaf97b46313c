//! What `moe inspect` prints.

use std::fmt::Write;

use moe_routers::telemetry::{SplitSummary, TreeSummary};

use crate::experiment::inspection::{GateView, GroupedLoad, Inspection};
use crate::report::counterfactual::other_sets;
use crate::report::document::{Block, one_line};

/// Longest bar, in characters.
const BAR: usize = 40;
/// Splits of a tree in one line.
const SPLITS: usize = 8;

/// All blocks of an inspection.
pub(crate) fn inspection(inspection: &Inspection) -> Vec<Block> {
    let Inspection { about, experts, k, gates, nearest, .. } = inspection;
    let mut blocks = vec![Block::Heading(1, about.line())];
    if gates.is_empty() {
        blocks.push(Block::Paragraph("The model has no gates.".into()));
        return blocks;
    }
    let size = format!("{experts} experts, {} gate(s), K = {k}", gates.len());
    blocks.push(Block::Paragraph(size));
    for gate in gates {
        add_gate(&mut blocks, gate);
    }
    for nearest in nearest.chunk_by(|a, b| a.layer == b.layer) {
        let heading = "Experts with the most similar weights";
        let heading = match &*nearest[0].layer {
            "layer" => heading.into(),
            layer => format!("{heading} in {layer}"),
        };
        blocks.push(Block::Heading(2, heading));
        let rows = nearest.iter().map(|found| {
            let cosine = format!("{:.3}", found.cosine);
            vec![found.expert.to_string(), found.nearest.to_string(), cosine]
        });
        blocks.push(Block::table(["expert", "nearest", "cosine"], rows));
    }
    blocks
}

fn add_gate(blocks: &mut Vec<Block>, view: &GateView) {
    let GateView { task, summary, alarms, groups, trees, counterfactual, .. } = view;
    let label = summary.label();
    let name = label.strip_prefix("gate ").map_or(label.clone(), |gate| format!("Gate {gate}"));
    let of_task = if task.is_empty() { String::new() } else { format!(" ({task})") };
    blocks.push(Block::Heading(2, name + &of_task));
    let mut text = format!(
        "{:.2} experts per row, load entropy {:.3} (1: balanced), {} dead, confidence {:.3}, information {:.3} (0: all \
         rows are routed alike)",
        summary.experts_per_row,
        summary.load_entropy,
        summary.dead_experts,
        summary.confidence,
        summary.mutual_information,
    );
    if summary.dropped > 0.0 {
        let _ = write!(text, ", {} dropped", percent(summary.dropped));
    }
    blocks.push(Block::Paragraph(text));
    if !alarms.is_empty() {
        blocks.push(Block::List(alarms.iter().map(|alarm| alarm.text.clone()).collect()));
    }
    blocks.push(load(&summary.load_share, &summary.weight_share));
    blocks.extend(groups.iter().map(load_by_group));
    for (i, tree) in trees.iter().enumerate() {
        blocks.push(Block::Code("text", drawn_tree(i, tree)));
    }
    blocks.extend(counterfactual.iter().flat_map(other_sets));
}

/// A line per expert.
fn load(load: &[f64], weight: &[f64]) -> Block {
    let largest = load.iter().copied().fold(0.0, f64::max);
    let rows = load.iter().zip(weight).enumerate().map(|(expert, (&load, &weight))| {
        let bar = match load {
            0.0 => "dead".to_owned(),
            // Any load above 0 gets a mark.
            _ => "█".repeat(((load / largest * BAR as f64).round() as usize).max(1)),
        };
        vec![expert.to_string(), percent(load), percent(weight), format!("{bar:<BAR$}")]
    });
    Block::table(["expert", "load", "weight", &" ".repeat(BAR)], rows)
}

/// A line per group of rows with the experts that they go to.
pub(crate) fn load_by_group(grouped: &GroupedLoad) -> Block {
    let head = one_line(&grouped.by.head(&grouped.of));
    let rows = grouped.groups.iter().map(|group| {
        let (strip, most) = (strip(&group.load_share), largest(&group.load_share));
        vec![one_line(&group.name), group.rows.to_string(), strip, most]
    });
    Block::table([head.as_str(), "rows", "experts", "most to"], rows)
}

/// The splits of a tree, level by level, and its leaves.
fn drawn_tree(number: usize, tree: &TreeSummary) -> String {
    let mut text = format!(
        "Tree {number}: share of the rows reaching a split that go right, and in brackets of those that go only one way\n"
    );
    let split = |split: &SplitSummary| match (split.right, split.decided) {
        (Some(right), Some(decided)) => {
            format!("{:>3.0} % ({:.0} %)", 100.0 * right, 100.0 * decided)
        }
        _ => "  -".to_owned(),
    };
    let mut add = |name: &str, cells: Vec<String>| {
        for (i, line) in cells.chunks(SPLITS).enumerate() {
            let name = if i == 0 { name } else { "" };
            let line: String = line.iter().map(|cell| format!("{cell:<14}")).collect();
            let _ = writeln!(text, "  {name:<9} {}", line.trim_end());
        }
    };
    for level in tree.splits.chunk_by(|a, b| a.level == b.level) {
        add(&format!("level {}", level[0].level), level.iter().map(split).collect());
    }
    let leaves = tree.leaves.iter().map(|leaf| {
        let share = if leaf.reached > 0.0 { percent(leaf.share) } else { "-".into() };
        format!("{}: {share}", leaf.expert)
    });
    add("leaves", leaves.collect());
    text
}

/// A character per expert, whose height is the expert's share of the largest one.
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

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
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
