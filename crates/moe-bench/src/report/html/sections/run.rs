//! The page of a run.

use crate::report::document::Block;
use crate::report::evaluation::metrics;
use crate::report::html::section::Section;
use crate::report::html::sections::{about, cost, load, losses, rows, specialisation, verdict};
use crate::report::html::source::Run;

/// The title of the page and its sections.
pub(in crate::report::html) fn page(run: &Run) -> (String, Vec<Section>) {
    let router = match (&run.result, &run.config) {
        (Some(result), _) => result.router.clone(),
        (None, Some(config)) => config.run.routers.first().cloned().unwrap_or_default(),
        (None, None) => "A run".into(),
    };
    let title = match &run.config {
        Some(config) => format!("{router} on {}", config.dataset.name),
        None => router,
    };
    let results = Section::new("results", "Results");
    let results = match &run.result {
        Some(result) => results.blocks([
            Block::Paragraph(format!("Loss {:.4} on the test split.", result.test.loss)),
            metrics(&result.test),
        ]),
        None => results
            .missing("The run has not ended; moe train with --out and --resume continues it."),
    };
    let mut sections = vec![
        Section::new("verdict", "Verdict").with([verdict::of_run(run)]),
        results,
        losses::of_run(run),
        load::of_run(run),
        rows::of_run(run),
        specialisation::of_run(run),
        rows::regret(run),
    ];
    if let Some(result) = &run.result {
        sections.push(cost::of_runs(
            std::slice::from_ref(&result.router),
            std::slice::from_ref(result),
        ));
    }
    sections.extend(run.config.as_ref().map(about::configuration));
    sections.extend(run.result.as_ref().map(|result| about::versions(&result.host)));
    let note = "FILE is config.resolved.toml of the directory.";
    sections.push(about::command("moe train --config FILE", note));
    (title, sections)
}
