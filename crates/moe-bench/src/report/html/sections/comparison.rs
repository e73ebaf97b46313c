//! The page of a comparison.

use crate::experiment::results::Comparison;
use crate::report::comparison::comparison as results;
use crate::report::html::section::{Part, Section};
use crate::report::html::sections::about::in_title;
use crate::report::html::sections::{
    about, cost, load, losses, pace, rows, specialisation, spread,
};
use crate::report::verdict::verdict;

/// The title of the page and its sections.
pub(in crate::report::html) fn page(of: &Comparison) -> (String, Vec<Section>) {
    let title = format!("{} compared on {}", in_title(&of.config.run.routers), of.dataset.name);
    let sections = vec![
        Section::new("verdict", "Verdict").with([Part::Lead(verdict(of))]),
        Section::new("results", "Results").blocks(results(of)),
        spread::of_comparison(of),
        losses::of_comparison(of),
        load::of_comparison(of),
        specialisation::of_comparison(of),
        rows::of_comparison(),
        pace::of_comparison(of),
        cost::of_runs(&of.config.run.routers, &of.runs),
        about::configuration(&of.config),
        about::versions(&of.host),
        about::command(
            "moe compare --config FILE",
            "FILE is config.resolved.toml of the directory.",
        ),
    ];
    (title, sections)
}
