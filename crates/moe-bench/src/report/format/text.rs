//! `--format table`: text for a terminal.

use comfy_table::presets::NOTHING;

use crate::report::document::{Block, Format, laid_out};

pub(crate) const TABLE: Format = Format {
    name: "table",
    alias: Some("text"),
    help: "Aligned text; `text` is another name for it",
    write: |report| text(&report.blocks),
};

/// The blocks as aligned text.
fn text(blocks: &[Block]) -> String {
    laid_out(blocks, |block| match block {
        Block::Heading(level, text) => {
            let line = if *level == 1 { "=" } else { "-" };
            format!("{text}\n{}\n", line.repeat(text.chars().count()))
        }
        Block::Paragraph(text) => format!("{text}\n"),
        Block::List(items) => items.iter().map(|item| format!("- {item}\n")).collect(),
        Block::Table(table) => table.drawn(NOTHING, str::to_owned),
        Block::Code(_, text) => text.clone(),
    })
}
