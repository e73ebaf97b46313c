//! The page as a whole.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use moe_core::files::replace_file;

use crate::error::Error;
use crate::report::html::markup::{self, escape};
use crate::report::html::section::Section;
use crate::report::html::sections;
use crate::report::html::source::Source;

/// Light and dark, narrow and wide.
const STYLE: &str = include_str!("style.css");
/// Tables that can be sorted, and routers that can be singled out. The page is complete without it.
const SCRIPT: &str = include_str!("script.js");

/// The page with this title: one file that loads nothing.
pub(crate) fn page(title: &str, sections: &[Section]) -> String {
    let title = escape(title);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n<nav>\n"
    );
    for Section { id, title, .. } in sections {
        let _ = writeln!(html, "<a href=\"#{id}\">{}</a>", escape(title));
    }
    html += "</nav>\n</header>\n<main>\n";
    for section in sections {
        html += &markup::section(section);
    }
    let _ = write!(html, "</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
    html
}

/// The title and the sections of a page about `source`.
pub(crate) fn contents(source: &Source) -> (String, Vec<Section>) {
    match source {
        Source::Comparison(comparison) => sections::comparison::page(comparison),
        Source::Run(run) => sections::run::page(run),
        Source::Study(study) => sections::study::page(study),
    }
}

/// Writes the page about `source` to a file, unless it is there already: the directory of a run that is only looked at may be
/// closed to writing.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write(source: &Source, path: &Path) -> Result<(), Error> {
    let (title, sections) = contents(source);
    let html = page(&title, &sections);
    if fs::read(path).is_ok_and(|found| found == html.as_bytes()) {
        return Ok(());
    }
    replace_file(path, html.as_bytes()).map_err(Error::file(path))
}
