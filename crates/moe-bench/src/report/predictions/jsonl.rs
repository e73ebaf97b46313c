//! Predictions as JSON lines: an object per row.

use std::io::{self, BufWriter, Write};

use moe_core::Real;
use moe_data::RawField;

use crate::report::predictions::destination::Destination;
use crate::report::predictions::sink::RowSink;

pub(crate) struct JsonLinesSink {
    to: BufWriter<Destination>,
    /// The text before each value: a brace or a comma, and the name.
    before: Vec<String>,
    /// Index of the next column.
    next: usize,
}

impl JsonLinesSink {
    pub(crate) fn new(to: Destination, names: &[String]) -> Self {
        let quoted = |name: &String| serde_json::to_string(name).expect("it is text");
        let before = names.iter().enumerate().map(|(i, name)| {
            let separator = if i == 0 { "{" } else { "," };
            format!("{separator}{}:", quoted(name))
        });
        let (to, before) = (BufWriter::with_capacity(64 << 10, to), before.collect());
        JsonLinesSink { to, before, next: 0 }
    }

    fn begin_cell(&mut self) -> io::Result<&mut BufWriter<Destination>> {
        self.to.write_all(self.before[self.next].as_bytes())?;
        self.next += 1;
        Ok(&mut self.to)
    }
}

impl RowSink for JsonLinesSink {
    fn text(&mut self, text: &str) -> io::Result<()> {
        Ok(serde_json::to_writer(self.begin_cell()?, text)?)
    }

    fn field(&mut self, field: &RawField) -> io::Result<()> {
        if !field.is_bare {
            return self.text(&field.text);
        }
        let value = if field.text.is_empty() { "null" } else { &field.text };
        self.begin_cell()?.write_all(value.as_bytes())
    }

    fn number(&mut self, number: u64) -> io::Result<()> {
        write!(self.begin_cell()?, "{number}")
    }

    fn real(&mut self, value: Real) -> io::Result<()> {
        let to = self.begin_cell()?;
        if value.is_finite() { write!(to, "{value:?}") } else { to.write_all(b"null") }
    }

    fn end_row(&mut self) -> io::Result<()> {
        self.next = 0;
        self.to.write_all(b"}\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn into_destination(self: Box<Self>) -> io::Result<Destination> {
        self.to.into_inner().map_err(|error| error.into_error())
    }
}
