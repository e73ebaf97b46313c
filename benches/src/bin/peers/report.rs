//! JSON lines with the keys of the PyTorch script that makes the same measurements.

use std::io::{self, Write};
use std::process::exit;

use moe_core::kernel::instruction_set;
use serde_json::{Map, Value, json};

use crate::timing::Times;

pub(crate) struct Report {
    pub(crate) threads: usize,
}

impl Report {
    /// Prints a line: the fields that all lines have, then `fields`. Ends the program if the reader has closed the pipe.
    pub(crate) fn line(&self, bench: &str, fields: Value) {
        let mut line = Map::new();
        line.insert("lib".into(), json!(concat!("moe ", env!("CARGO_PKG_VERSION"))));
        line.insert("isa".into(), json!(instruction_set()));
        line.insert("threads".into(), json!(self.threads));
        line.insert("bench".into(), json!(bench));
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        match writeln!(io::stdout(), "{}", Value::Object(line)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit(0),
            Err(error) => {
                eprintln!("error: stdout: {error}");
                exit(1);
            }
        }
    }
}

/// Rounds to four decimal places.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// The fields of a time; `of_limit` is the time as a multiple of the shortest possible one.
pub(crate) fn time_fields(times: Times) -> Value {
    json!({
        "ms": rounded(times.median),
        "ms_min": rounded(times.least),
        "of_limit": rounded(times.of_limit),
    })
}

/// Merges the fields of two objects.
pub(crate) fn with(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Object(mut first), Value::Object(second)) => {
            first.extend(second);
            Value::Object(first)
        }
        (first, _) => first,
    }
}
