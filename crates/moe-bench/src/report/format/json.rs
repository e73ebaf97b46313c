//! `--format json`

use crate::report::document::Format;

pub(crate) const JSON: Format = Format {
    name: "json",
    alias: None,
    help: "One JSON object",
    write: |report| report.json.clone(),
};
