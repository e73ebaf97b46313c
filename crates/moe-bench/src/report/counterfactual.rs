//! What `moe inspect --counterfactual` prints of a gate.

use crate::experiment::counterfactual::{Counterfactual, SetsTried};
use crate::experiment::regret::{GroupedRegret, Regret};
use crate::report::document::{Block, one_line};

/// The losses of a gate's rows with other sets of experts.
pub(crate) fn other_sets(found: &Counterfactual) -> Vec<Block> {
    let Counterfactual { all, weights, seed, sets, passes, groups } = found;
    if sets.iter().all(|sets| sets.of <= 1.0) {
        let text =
            "No row could go to another set of as many experts, so there is nothing to compare.";
        return vec![Block::Paragraph(text.into())];
    }
    let Regret { loss, others_loss, best_loss, regret, better_share, .. } = all;
    let tried: Vec<String> =
        sets.iter().filter(|sets| sets.of > 1.0).map(|sets| in_words(sets, *seed)).collect();
    let text = format!(
        "With the model held fixed and other experts for each row: loss {loss:.4} with the router's own, {others_loss:.4} on \
         average with other sets of as many experts, {best_loss:.4} with the best set of each row. The regret is {regret:.4}, and \
         {:.1} % of the rows have a better set. Tried: {}; {weights}; {passes} forward passes.",
        100.0 * better_share,
        tried.join(", ")
    );
    let mut blocks = vec![Block::Paragraph(text)];
    blocks.extend(groups.iter().map(by_group));
    blocks
}

fn in_words(sets: &SetsTried, seed: u64) -> String {
    let SetsTried { size, tried, of } = *sets;
    if tried as f64 == of {
        return format!("all {tried} sets of {size}");
    }
    format!("{tried} of {of:.0} sets of {size} (seed {seed})")
}

/// A line per group of rows.
fn by_group(grouped: &GroupedRegret) -> Block {
    let head = one_line(&grouped.by.head(&grouped.of));
    let rows = grouped.groups.iter().map(|group| {
        let Regret { rows, loss, others_loss, best_loss, regret, better_share } = group.regret;
        let numbers = [loss, others_loss, best_loss, regret].map(|value| format!("{value:.4}"));
        let mut row = vec![one_line(&group.name), rows.to_string()];
        row.extend(numbers);
        row.push(format!("{:.1} %", 100.0 * better_share));
        row
    });
    Block::table([head.as_str(), "rows", "loss", "others", "best", "regret", "better set"], rows)
}
