//! The interface of a format of predictions.

use std::io;

use moe_core::Real;
use moe_data::RawField;

use crate::report::predictions::destination::Destination;

/// A value in a column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Text(&'a str),
    /// A field of the input, to be copied unchanged.
    Field(&'a RawField),
    Number(u64),
    /// A finite number, to be written with the fewest digits that identify it.
    Real(Real),
    /// No value: what is predicted is not finite.
    Empty,
}

/// Writes rows cell by cell, in the order of the columns.
pub(crate) trait RowSink {
    fn cell(&mut self, cell: Cell<'_>) -> io::Result<()>;
    fn end_row(&mut self) -> io::Result<()>;
    fn flush(&mut self) -> io::Result<()>;
    /// Returns what it writes to, after [`RowSink::flush`].
    fn into_destination(self: Box<Self>) -> io::Result<Destination>;
}
