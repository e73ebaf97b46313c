//! The results in a sentence or two.

use crate::experiment::results::RunResult;
use crate::report::html::section::Part;
use crate::report::html::source::Run;
use crate::study::summary::StudySummary;

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
