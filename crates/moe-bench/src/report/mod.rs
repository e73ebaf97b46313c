//! What people and programs read of results: tables, saved reports, model cards, progress, prediction files.

pub(crate) mod card;
pub(crate) mod inspect_text;
pub(crate) mod out_dir;
pub(crate) mod predictions_out;
pub(crate) mod progress;
pub(crate) mod table;
