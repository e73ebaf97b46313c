//! The output formats of `--format`, one per file.
//!
//! To add one, write `NAME.rs` with a [`Format`], declare it here, and add it to [`FORMATS`]. `tex.rs` and
//! `csv_tables.rs` are for `moe report` alone.

pub(crate) mod csv_tables;
pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod tex;
pub(crate) mod text;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::report::document::Format;

/// All formats, in the order in which `--help` lists them.
const FORMATS: &[Format] = &[text::TABLE, json::JSON, markdown::MD];

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        FORMATS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name).aliases(self.alias).help(self.help))
    }
}
