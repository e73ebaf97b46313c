//! Lines of a text file of any length, with bounds on what is held at a time.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::formats::dialect::Limits;
use crate::formats::unpack::too_early;

/// Bytes that are read at a time.
const BLOCK: usize = 64 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a file line by line. The lines of the present record are its *text*.
pub(crate) struct LineReader {
    file: PathBuf,
    from: Box<dyn Read + Send>,
    limits: Limits,
    /// `buffer[..filled]` was read: what is done with, the text, and what follows it.
    buffer: Vec<u8>,
    filled: usize,
    /// The text is `buffer[start..end]`; each of its lines ends with a line feed.
    start: usize,
    end: usize,
    /// Numbers of the first and the last line of the text, from 1.
    first: u64,
    last: u64,
    /// Bytes read in all.
    total: u64,
    is_at_end: bool,
    /// Whether the next line is too long, and has to be passed over.
    is_too_long: bool,
}

/// The outcome of [`LineReader::extend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extended {
    /// The text has one more line.
    Line,
    /// The next line would exceed the limits; the text is as it was.
    TooLong,
    /// There is no further line.
    End,
}

impl LineReader {
    /// Reads `from`, which errors call `file`.
    pub(crate) fn new(from: Box<dyn Read + Send>, file: &Path, limits: Limits) -> Self {
        LineReader {
            file: file.to_path_buf(),
            from,
            limits,
            buffer: Vec::new(),
            filled: 0,
            start: 0,
            end: 0,
            first: 0,
            last: 0,
            total: 0,
            is_at_end: false,
            is_too_long: false,
        }
    }

    /// The lines of the present record.
    pub(crate) fn text(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// What was read of the file so far and is still held: its beginning, after the first call of [`LineReader::next`].
    pub(crate) fn head(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// The number of the first of them, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.first.max(1)
    }

    /// Makes the next line that is not blank the text; false at the end of the file.
    ///
    /// # Errors
    /// [`DataError::Malformed`] if it is too long, after which the next line can be read; otherwise
    /// [`DataError::Unreadable`].
    pub(crate) fn next(&mut self) -> Result<bool, DataError> {
        if std::mem::take(&mut self.is_too_long) {
            self.skip_line()?;
        }
        loop {
            self.start = self.end;
            let extended = self.extend()?;
            self.first = self.last;
            match extended {
                Extended::Line if self.text().iter().all(u8::is_ascii_whitespace) => {}
                Extended::Line => return Ok(true),
                Extended::TooLong => {
                    self.first = self.last + 1;
                    self.is_too_long = true;
                    let problem = format!("the line has more than {} bytes", self.limits.line);
                    return Err(self.malformed(None, problem, "shorter lines"));
                }
                Extended::End => return Ok(false),
            }
        }
    }

    /// Adds the next line to the text.
    ///
    /// # Errors
    /// If the file cannot be read on.
    pub(crate) fn extend(&mut self) -> Result<Extended, DataError> {
        let mut searched = self.end;
        let end = loop {
            if let Some(end) = line_end(&self.buffer[..self.filled], searched) {
                break end;
            }
            if self.exceeds(self.filled) {
                return Ok(Extended::TooLong);
            }
            let unread = self.filled - self.end;
            if !self.is_at_end {
                self.fill()?;
            } else if unread > 0 {
                // The last line ends with the file.
                self.buffer.truncate(self.filled);
                self.buffer.push(b'\n');
                self.filled += 1;
            } else {
                return Ok(Extended::End);
            }
            searched = self.end + unread;
        };
        if self.exceeds(end - 1) {
            return Ok(Extended::TooLong);
        }
        self.end = end;
        self.last += 1;
        if self.last == 1 && self.text().starts_with(BYTE_ORDER_MARK) {
            self.start += BYTE_ORDER_MARK.len();
        }
        Ok(Extended::Line)
    }

    /// Takes all lines but the first out of the text, to be read again.
    pub(crate) fn keep_first_line(&mut self) {
        self.end = line_end(&self.buffer[..self.end], self.start).unwrap_or(self.end);
        self.last = self.first;
    }

    /// The error that the record, or one of its columns (the place from 1, and the name), has a problem.
    pub(crate) fn malformed(
        &self,
        column: Option<(usize, &str)>,
        problem: impl Into<String>,
        allowed: impl Into<String>,
    ) -> DataError {
        DataError::malformed(&self.file, self.line(), column, problem, allowed)
    }

    /// The error of a file without rows.
    pub(crate) fn no_rows(&self, allowed: String) -> DataError {
        DataError::malformed(&self.file, 1, None, "the file holds no rows", allowed)
    }

    /// Returns whether a line that reaches to `end` would be too long, or the text with it.
    fn exceeds(&self, end: usize) -> bool {
        end - self.end > self.limits.line || end - self.start > self.limits.record
    }

    /// Passes over the next line.
    fn skip_line(&mut self) -> Result<(), DataError> {
        self.last += 1;
        loop {
            let end = line_end(&self.buffer[..self.filled], self.end);
            self.end = end.unwrap_or(self.filled);
            self.start = self.end;
            if end.is_some() || self.is_at_end {
                return Ok(());
            }
            self.fill()?;
        }
    }

    /// Reads on; what is done with makes room.
    fn fill(&mut self) -> Result<(), DataError> {
        self.buffer.copy_within(self.start..self.filled, 0);
        self.end -= self.start;
        self.filled -= self.start;
        self.start = 0;
        if self.buffer.len() < self.filled + BLOCK {
            self.buffer.resize(self.filled + BLOCK, 0);
        }
        let count = loop {
            match self.from.read(&mut self.buffer[self.filled..]) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unreadable(too_early(error))),
            }
        };
        self.filled += count;
        self.total += count as u64;
        self.is_at_end = count == 0;
        if self.total > self.limits.file {
            let problem = format!("it unpacks to more than {} bytes", self.limits.file);
            return Err(self.unreadable(io::Error::new(io::ErrorKind::FileTooLarge, problem)));
        }
        Ok(())
    }

    fn unreadable(&self, source: io::Error) -> DataError {
        DataError::Unreadable { file: self.file.clone(), line: Some(self.last + 1), source }
    }
}

/// The end of the line at `start`, after its line feed.
fn line_end(bytes: &[u8], start: usize) -> Option<usize> {
    let length = bytes[start..].iter().position(|&byte| byte == b'\n')?;
    Some(start + length + 1)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A reader of `text`, which comes `step` bytes at a time.
    fn lines(text: impl Into<Vec<u8>>, step: usize) -> LineReader {
        struct Slow(Cursor<Vec<u8>>, usize);
        impl Read for Slow {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let end = buffer.len().min(self.1);
                self.0.read(&mut buffer[..end])
            }
        }
        let from = Box::new(Slow(Cursor::new(text.into()), step));
        LineReader::new(from, Path::new("file"), Limits::ROWS)
    }

    #[test]
    fn lines_come_one_by_one_and_again() {
        for step in [1, 2, 100] {
            let mut lines = lines("\u{feff}a\nb\n\nc", step);
            let text = |lines: &LineReader| {
                (String::from_utf8(lines.text().to_vec()).unwrap(), lines.first, lines.last)
            };
            assert!(lines.next().unwrap());
            assert_eq!(text(&lines), ("a\n".into(), 1, 1));
            assert_eq!(lines.extend().unwrap(), Extended::Line);
            assert_eq!(lines.extend().unwrap(), Extended::Line);
            assert_eq!(text(&lines), ("a\nb\n\n".into(), 1, 3));
            lines.keep_first_line();
            assert_eq!(text(&lines), ("a\n".into(), 1, 1));
            assert!(lines.next().unwrap());
            assert_eq!(text(&lines), ("b\n".into(), 2, 2));
            assert!(lines.next().unwrap());
            assert_eq!(text(&lines), ("c\n".into(), 4, 4));
            assert_eq!(lines.extend().unwrap(), Extended::End);
            assert_eq!(text(&lines), ("c\n".into(), 4, 4));
            assert!(!lines.next().unwrap());
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let most = Limits::ROWS.line;
        let text = ["x".repeat(most - 1), "y".repeat(3 * most), "z".into()].join("\n");
        let mut lines = lines(text, usize::MAX);
        assert!(lines.next().unwrap());
        assert_eq!(lines.text().len(), most);
        assert_eq!(lines.extend().unwrap(), Extended::TooLong);
        assert_eq!(lines.text().len(), most);
        let error = lines.next().unwrap_err().to_string();
        assert_eq!(
            error,
            format!("file, line 2: the line has more than {most} bytes; allowed: shorter lines")
        );
        assert!(lines.next().unwrap());
        assert_eq!((lines.text(), lines.line()), (&b"z\n"[..], 3));
    }
}
