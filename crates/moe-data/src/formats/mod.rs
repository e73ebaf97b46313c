//! Readers for file formats: CSV, JSON lines, IDX, MATLAB 5 and packed text.

pub(crate) mod binary;
pub(crate) mod capped;
pub(crate) mod csv_rows;
pub(crate) mod dialect;
pub(crate) mod fields;
pub(crate) mod idx;
pub(crate) mod json_rows;
pub(crate) mod lines;
pub(crate) mod mat;
pub(crate) mod record;
pub(crate) mod row_reader;
pub(crate) mod rows;
