//! What a comparison says about the gap between `hash` and `oracle`.

use crate::experiment::results::{Comparison, RouterSummary};

/// A sentence with the share of the gap that each router closes; `None` where the comparison lacks one of its ends.
pub(crate) fn gap_closed(comparison: &Comparison) -> Option<String> {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let of_router = |summary: &RouterSummary| {
        let gap = summary.gap_closed?;
        let interval = match gap.ci95 {
            Some([low, high]) => format!(" [{}, {}]", percent(low), percent(high)),
            None => String::new(),
        };
        Some(format!("{} {}{interval}", summary.router, percent(gap.share)))
    };
    let shares: Vec<String> = comparison.summary.iter().filter_map(of_router).collect();
    if shares.is_empty() {
        return None;
    }
    Some(format!(
        "Share of the gap in test loss between hash (rows at random) and oracle (rows by their planted group) that a router \
         closes, with its 95 % interval, paired by seed: {}.",
        shares.join(", ")
    ))
}
