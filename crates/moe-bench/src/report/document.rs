//! Results as a document: an object for programs, and blocks of text that each output format writes in its own way.

use comfy_table::CellAlignment;
use serde::Serialize;

use crate::report::out_dir::to_json;

/// The results of a command.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// The object as JSON, with a newline at the end.
    pub(crate) json: String,
    /// The results for people.
    pub(crate) blocks: Vec<Block>,
}

/// A piece of text.
#[derive(Clone, Debug)]
pub(crate) enum Block {
    /// A heading and its level, from 1 to 3.
    Heading(usize, String),
    Paragraph(String),
    /// One line per item. It continues a paragraph before it.
    List(Vec<String>),
    Table(Table),
    /// Lines in a font of fixed width, and their language.
    Code(&'static str, String),
}

/// A table whose first column is aligned to the left and all others to the right.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) heads: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// A way to print a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    /// Its name as a value of `--format`.
    pub(crate) name: &'static str,
    /// Another name for it.
    pub(crate) alias: Option<&'static str>,
    /// Its description for `--help`.
    pub(crate) help: &'static str,
    pub(crate) write: fn(&Report) -> String,
}

impl Format {
    /// Whether it is for a terminal.
    pub(crate) fn is_for_terminal(&self) -> bool {
        self.name == "table"
    }
}

impl Report {
    /// The report of `results`, which is the object, with these blocks.
    pub(crate) fn new(results: &impl Serialize, blocks: Vec<Block>) -> Self {
        Report { json: to_json(results) + "\n", blocks }
    }
}

impl Block {
    /// The table with these heads and rows.
    pub(crate) fn table<H: Into<String>>(
        heads: impl IntoIterator<Item = H>,
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Self {
        let heads = heads.into_iter().map(Into::into).collect();
        Block::Table(Table { heads, rows: rows.into_iter().collect() })
    }
}

impl Table {
    /// The table in a style of `comfy_table`, each cell as `cell` gives it.
    pub(crate) fn drawn(&self, style: &str, cell: impl Fn(&str) -> String) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(style);
        table.set_header(self.heads.iter().map(|head| cell(head)));
        table.add_rows(self.rows.iter().map(|row| row.iter().map(|text| cell(text))));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{table}\n")
    }
}

/// All blocks as `write` gives them, with a blank line before each that is not the list of a paragraph.
pub(crate) fn laid_out(blocks: &[Block], write: impl Fn(&Block) -> String) -> String {
    let mut text = String::new();
    for (i, block) in blocks.iter().enumerate() {
        let before = i.checked_sub(1).map(|before| &blocks[before]);
        match (before, block) {
            (None, _) | (Some(Block::Paragraph(_)), Block::List(_)) => {}
            _ => text.push('\n'),
        }
        text += &write(block);
    }
    text
}

/// A name from the data without line breaks and other control characters.
pub(crate) fn one_line(name: &str) -> String {
    name.replace(char::is_control, " ")
}
