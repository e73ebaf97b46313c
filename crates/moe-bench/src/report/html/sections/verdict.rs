//! The results in a sentence or two.

use crate::experiment::results::{Comparison, RunResult};
use crate::report::html::section::Part;
use crate::report::html::source::Run;
use crate::statistics::verdict::Verdict;
use crate::study::summary::StudySummary;

/// Which routers differ from the baseline.
pub(super) fn of_comparison(of: &Comparison) -> Part {
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
        return Part::Lead(lowest(of));
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
    Part::Lead(text)
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

/// What a run has reached, and whether it routes.
pub(super) fn of_run(run: &Run) -> Part {
    let Some(RunResult { router, test, best_epoch, epochs, routing, .. }) = &run.result else {
        let epochs = run.epochs.len();
        return Part::Lead(format!("The run has not ended; {epochs} epochs are done."));
    };
    let mut text = format!(
        "{router} has a test loss of {:.4}, with the weights of epoch {best_epoch} of {epochs}.",
        test.loss
    );
    if !routing.gates.is_empty() {
        text += &format!(
            " A row has {:.2} experts, and {:.1} % of the rows go to the most frequent set of experts.",
            routing.experts_per_row_eval,
            100.0 * routing.top_set_share
        );
    }
    Part::Lead(text)
}

/// Which router comes first.
pub(super) fn of_study(of: &StudySummary) -> Part {
    let with_top = of.routers.iter().filter_map(|router| Some((router, router.top?)));
    let mut ranked: Vec<_> = with_top.collect();
    ranked.sort_by(|(_, a), (_, b)| a.test.mean.total_cmp(&b.test.mean));
    Part::Lead(match &ranked[..] {
        [] => "No trial has run to its end.".into(),
        [(first, top)] => {
            format!(
                "The best trials of {} have a mean test loss of {:.4}.",
                first.router, top.test.mean
            )
        }
        [(first, top), (second, next), ..] => format!(
            "By the mean test loss of the 5 % of its trials with the lowest validation losses, {} comes first with {:.4}, \
             {} second with {:.4}.",
            first.router, top.test.mean, second.router, next.test.mean
        ),
    })
}

/// The names with commas and an `and`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
