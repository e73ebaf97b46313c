//! The page of a study.

use crate::report::html::section::{Section, keys};
use crate::report::html::sections::about::in_title;
use crate::report::html::sections::tuned::Tuned;
use crate::report::html::sections::{about, budget, losses, reduction, slices, verdict};
use crate::report::html::source::Study;
use crate::report::study::study as results;
use crate::study::summary::{of_router, statistics_of};

/// The title of the page and its sections.
pub(in crate::report::html) fn page(study: &Study) -> (String, Vec<Section>) {
    let config = &study.config;
    let summary = study.summary();
    let keys = keys(config.run.routers.iter().map(String::as_str));
    let tuned: Vec<Tuned<'_>> = (config.run.routers.iter().zip(&keys))
        .map(|(router, key)| {
            let trials = of_router(router, &study.kept).into_iter();
            let ended = trials.filter(|trial| trial.state.is_finished());
            let trials = ended.map(statistics_of).collect();
            Tuned { router, trials, colour: key.colour, is_dashed: key.is_dashed }
        })
        .collect();
    let sections = vec![
        Section::new("verdict", "Verdict").with([verdict::of_study(&summary)]),
        Section::new("results", "Results").blocks(results(&summary)),
        budget::of_study(&tuned, &keys),
        reduction::of_study(&tuned),
        losses::of_study(study, &keys),
        slices::of_study(study, &keys),
        about::hosts(&summary.hosts),
        about::configuration(config),
        about::command(
            "moe tune STUDY",
            "STUDY is the file of the study, which keeps its configuration.",
        ),
    ];
    (format!("Study of {} on {}", in_title(&config.run.routers), config.dataset.name), sections)
}
