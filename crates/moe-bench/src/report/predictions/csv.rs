//! Predictions as CSV: a header, then a line per row.

use std::fmt::Write;
use std::io;

use moe_core::Real;
use moe_data::RawField;

use crate::report::predictions::destination::Destination;
use crate::report::predictions::sink::RowSink;

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

    fn write(&mut self, number: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.digits.clear();
        let _ = self.digits.write_fmt(number);
        Ok(self.to.write_field(&self.digits)?)
    }
}

impl RowSink for CsvSink {
    fn text(&mut self, text: &str) -> io::Result<()> {
        Ok(self.to.write_field(text)?)
    }

    fn field(&mut self, field: &RawField) -> io::Result<()> {
        self.text(&field.text)
    }

    fn number(&mut self, number: u64) -> io::Result<()> {
        self.write(format_args!("{number}"))
    }

    fn real(&mut self, value: Real) -> io::Result<()> {
        self.write(format_args!("{value:?}"))
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
