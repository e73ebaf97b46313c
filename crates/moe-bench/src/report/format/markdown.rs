//! `--format md`: Markdown, also for the files `report.md` and `model.md`.

use comfy_table::presets::ASCII_MARKDOWN;

use crate::report::document::{Block, Format, laid_out};

pub(crate) const MD: Format =
    Format { name: "md", alias: None, help: "Markdown", write: |report| text(&report.blocks) };

/// The blocks as Markdown.
pub(crate) fn text(blocks: &[Block]) -> String {
    laid_out(blocks, |block| match block {
        Block::Heading(level, text) => format!("{} {text}\n", "#".repeat(*level)),
        Block::Paragraph(text) => format!("{text}\n"),
        Block::List(items) => items.iter().map(|item| format!("- {item}\n")).collect(),
        Block::Table(table) => table.drawn(ASCII_MARKDOWN, |cell| cell.replace('|', "\\|")),
        Block::Code(language, text) => format!("```{language}\n{text}```\n"),
    })
}
