//! What a comparison says, in a sentence or two.

use crate::experiment::results::Comparison;
use crate::statistics::verdict::Verdict;

/// Which routers differ from the baseline.
pub(crate) fn verdict(of: &Comparison) -> String {
    let baseline = of.baseline();
    let with = |wanted: Verdict| -> Vec<&str> {
        let compared = of.summary.iter().filter(|summary| {
            summary.vs_baseline.as_ref().is_some_and(|vs| vs.verdict == Some(wanted))
        });
        compared.map(|summary| summary.router.as_str()).collect()
    };
    let [better, worse, not_worse, open] =
        [Verdict::Better, Verdict::Worse, Verdict::NotWorse, Verdict::CannotTell].map(with);
    if [&better, &worse, &not_worse, &open].iter().all(|routers| routers.is_empty()) {
        return lowest(of);
    }
    let mut text = match better[..] {
        [] => format!(
            "No router has a lower test loss than {baseline} beyond its corrected interval."
        ),
        [only] => format!(
            "Only {only} has a lower test loss than {baseline} beyond its corrected interval."
        ),
        _ => format!(
            "Only {} have a lower test loss than {baseline} beyond their corrected intervals.",
            list(&better)
        ),
    };
    for (routers, is, are) in [
        (worse, "is worse", "are worse"),
        (not_worse, "is not worse by 2 %", "are not worse by 2 %"),
        (open, "cannot be told from it", "cannot be told from it"),
    ] {
        if !routers.is_empty() {
            let verb = if routers.len() == 1 { is } else { are };
            text += &format!(" {} {verb}.", list(&routers));
        }
    }
    text
}

/// The sentence where there are no intervals.
fn lowest(of: &Comparison) -> String {
    let finished = of.summary.iter().filter(|summary| summary.test_loss.mean.is_finite());
    let best = finished.min_by(|a, b| a.test_loss.mean.total_cmp(&b.test_loss.mean));
    match best {
        None => "No run was finished.".into(),
        Some(best) if of.summary.len() == 1 => {
            format!("{} has a test loss of {:.4}.", best.router, best.test_loss.mean)
        }
        Some(best) => format!(
            "{} has the lowest test loss, {:.4}; whether the routers differ cannot be told without several seeds of \
             each, the baseline {} among them.",
            best.router,
            best.test_loss.mean,
            of.baseline()
        ),
    }
}

/// The names with commas and an `and`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
