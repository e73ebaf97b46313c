//! Readers for file formats.
//!
//! Text: `unpack` opens plain and gzip files, `lines` reads lines, `delimited` splits records of a `dialect`, and
//! `typed_fields` checks their fields; `other_format` says what
//! a file is that has none. `table_rows` reads a user's table, `row_reader` rows to predict for (`raw_field`),
//! from CSV or, with `json_rows`, JSON lines. Bytes: `binary`, and with it `idx` and `mat` (MATLAB 5).

pub(crate) mod binary;
pub(crate) mod delimited;
pub(crate) mod dialect;
pub(crate) mod idx;
pub(crate) mod json_rows;
pub(crate) mod lines;
pub(crate) mod mat;
pub(crate) mod other_format;
pub(crate) mod raw_field;
pub(crate) mod row_reader;
pub(crate) mod table_rows;
pub(crate) mod typed_fields;
pub(crate) mod unpack;
