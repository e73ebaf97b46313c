//! Predictions as CSV: a header, then a line per row.

use std::fmt::Write;
use std::io;

use crate::report::predictions::destination::Destination;
use crate::report::predictions::sink::{Cell, RowSink};

pub(crate) struct CsvSink {
    to: csv::Writer<Destination>,
    /// Scratch for the digits of a number.
    digits: String,
}

impl CsvSink {
    /// Writes the header.
    pub(crate) fn new(to: Destination, names: &[String]) -> io::Result<Self> {
        let mut to = csv::Writer::from_writer(to);
        to.write_record(names)?;
        Ok(CsvSink { to, digits: String::new() })
    }
}

/// The number as text in `scratch`.
fn digits<'a>(scratch: &'a mut String, number: std::fmt::Arguments<'_>) -> &'a str {
    scratch.clear();
    let _ = scratch.write_fmt(number);
    scratch
}

impl RowSink for CsvSink {
    fn cell(&mut self, cell: Cell<'_>) -> io::Result<()> {
        let text = match cell {
            Cell::Text(text) => text,
            Cell::Field(field) => &field.text,
            Cell::Number(number) => digits(&mut self.digits, format_args!("{number}")),
            Cell::Empty => "",
            Cell::Real(value) => digits(&mut self.digits, format_args!("{value:?}")),
        };
        Ok(self.to.write_field(text)?)
    }

    fn end_row(&mut self) -> io::Result<()> {
        Ok(self.to.write_record(None::<&[u8]>)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn into_destination(self: Box<Self>) -> io::Result<Destination> {
        self.to.into_inner().map_err(|error| error.into_error())
    }
}
