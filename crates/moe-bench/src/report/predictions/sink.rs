//! What a format of predictions does.

use std::io;

use moe_core::Real;
use moe_data::RawField;

use crate::report::predictions::destination::Destination;

/// Writes rows cell by cell, in the order of the columns.
pub(crate) trait RowSink {
    /// Writes text.
    fn text(&mut self, text: &str) -> io::Result<()>;
    /// Writes a field of the input unchanged.
    fn field(&mut self, field: &RawField) -> io::Result<()>;
    /// Writes a whole number.
    fn number(&mut self, number: u64) -> io::Result<()>;
    /// Writes a number with the fewest digits that identify it.
    fn real(&mut self, value: Real) -> io::Result<()>;
    /// Ends the row.
    fn end_row(&mut self) -> io::Result<()>;
    fn flush(&mut self) -> io::Result<()>;
    /// Returns what it writes to, after [`RowSink::flush`].
    fn into_destination(self: Box<Self>) -> io::Result<Destination>;
}
