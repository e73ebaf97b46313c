//! A bound on what an untrusted file can make the program hold.

use std::io::{self, Read};

/// The most bytes of a line.
const MOST_LINE: usize = 64 << 10;
/// The most bytes that are read for one record, blank lines before it and bytes read ahead included.
const MOST_RECORD: usize = 1 << 20;

/// A reader that fails after `most` bytes, in a line of more than [`MOST_LINE`] or in a record of more than
/// [`MOST_RECORD`], and that ends the last line with a line feed if nothing else does.
pub(crate) struct Capped<R> {
    inner: R,
    left: u64,
    most: u64,
    /// Bytes since the last line feed.
    line: usize,
    /// Bytes since the record was begun; `None` if records are lines.
    record: Option<usize>,
}

impl<R> Capped<R> {
    /// With `records` that may span lines, [`Capped::begin_record`] must be called before each.
    pub(crate) fn new(inner: R, most: u64, records: bool) -> Self {
        Capped { inner, left: most, most, line: 0, record: records.then_some(0) }
    }

    /// From here on the bytes of another record are counted.
    pub(crate) fn begin_record(&mut self) {
        self.record = self.record.map(|_| 0);
    }
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer).map_err(too_early)?;
        if count == 0 && self.line > 0 && !buffer.is_empty() {
            self.line = 0;
            buffer[0] = b'\n';
            return Ok(1);
        }
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            let problem = format!("it unpacks to more than {} bytes", self.most);
            io::Error::new(io::ErrorKind::FileTooLarge, problem)
        })?;
        if let Some(record) = &mut self.record {
            *record += count;
            if *record > MOST_RECORD {
                let problem =
                    format!("no record in {MOST_RECORD} bytes: a quote that is not closed");
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
        }
        for (piece, part) in buffer[..count].split(|&byte| byte == b'\n').enumerate() {
            self.line = part.len() + if piece == 0 { self.line } else { 0 };
            if self.line > MOST_LINE {
                let problem = format!("a line has more than {MOST_LINE} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
        }
        Ok(count)
    }
}

/// Says what an early end means, which only a packed file can have.
pub(crate) fn too_early(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the packed data end too early; the file is cut short",
        ),
        _ => error,
    }
}
