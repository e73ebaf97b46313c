//! Predictions as JSON lines: an object per row.

use std::io::{self, BufWriter, Write};

use crate::report::predictions::destination::Destination;
use crate::report::predictions::sink::{Cell, RowSink};

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
}

impl RowSink for JsonLinesSink {
    fn cell(&mut self, cell: Cell<'_>) -> io::Result<()> {
        let to = &mut self.to;
        to.write_all(self.before[self.next].as_bytes())?;
        self.next += 1;
        match cell {
            Cell::Text(text) => Ok(serde_json::to_writer(to, text)?),
            Cell::Field(field) if !field.is_bare => Ok(serde_json::to_writer(to, &field.text)?),
            Cell::Field(field) if !field.text.is_empty() => to.write_all(field.text.as_bytes()),
            Cell::Number(number) => write!(to, "{number}"),
            Cell::Real(value) => write!(to, "{value:?}"),
            Cell::Field(_) | Cell::Empty => to.write_all(b"null"),
        }
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
