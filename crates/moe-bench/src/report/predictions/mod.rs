//! The rows that `moe predict` writes: `columns.rs` says what is in them, `out.rs` writes them batch by batch, and each
//! format has a file with a [`RowSink`](sink::RowSink).
//!
//! To add a format, write such a file and add it to `PredictionsOut::create`.

pub(crate) mod columns;
mod csv;
mod destination;
mod jsonl;
pub(crate) mod out;
mod sink;
