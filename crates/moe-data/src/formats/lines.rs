//! Lines of a file of any length, with a bound on what is held at a time.

use std::io::{self, BufRead, Cursor};

/// The most bytes of a line, and of a row of several lines.
pub(crate) const MOST_ROW: usize = 1 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads lines one by one.
pub(crate) struct Lines {
    /// Lines that are to be read once more, before the others.
    again: Cursor<Vec<u8>>,
    from: Box<dyn BufRead + Send>,
    /// The lines that have been read since this was cleared, each with a line feed.
    pub(crate) text: Vec<u8>,
    /// Number of lines read.
    pub(crate) count: u64,
}

/// What came of reading a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Line,
    /// The text would have more than [`MOST_ROW`] bytes; it holds a part of the line.
    TooLong,
    End,
}

impl Lines {
    pub(crate) fn new(from: Box<dyn BufRead + Send>) -> Self {
        Lines { again: Cursor::default(), from, text: Vec::new(), count: 0 }
    }

    fn rest(&mut self) -> (impl BufRead, &mut Vec<u8>) {
        (io::Read::chain(&mut self.again, &mut self.from), &mut self.text)
    }

    /// Adds the next line to the text.
    pub(crate) fn read(&mut self) -> io::Result<Found> {
        let before = self.text.len();
        let room = (MOST_ROW + 1).saturating_sub(before) as u64;
        let (rest, text) = self.rest();
        if io::Read::take(rest, room).read_until(b'\n', text)? == 0 {
            return Ok(if room == 0 { Found::TooLong } else { Found::End });
        }
        self.count += 1;
        if self.count == 1 && self.text.starts_with(BYTE_ORDER_MARK) {
            self.text.drain(..BYTE_ORDER_MARK.len());
        }
        if self.text.len() > MOST_ROW {
            return Ok(Found::TooLong);
        }
        if self.text.last() != Some(&b'\n') {
            self.text.push(b'\n');
        }
        Ok(Found::Line)
    }

    /// Passes over what is left of a line that is too long, or nothing if the text ends with one.
    pub(crate) fn skip_line(&mut self) -> io::Result<()> {
        if self.text.last() != Some(&b'\n') {
            self.rest().0.skip_until(b'\n')?;
        }
        Ok(())
    }

    /// Has all lines of the text but the first one read again. `first` is the number of that one, from 1.
    pub(crate) fn keep_first(&mut self, first: u64) {
        let end = self.text.iter().position(|&byte| byte == b'\n');
        let mut again = self.text.split_off(end.map_or(self.text.len(), |end| end + 1));
        let left = self.again.position() as usize;
        again.extend(&self.again.get_ref()[left..]);
        self.again = Cursor::new(again);
        self.count = first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: impl Into<Vec<u8>>) -> Lines {
        Lines::new(Box::new(Cursor::new(text.into())))
    }

    #[test]
    fn lines_come_one_by_one_and_again() {
        let mut lines = lines("\u{feff}a\nb\n\nc");
        let read = |lines: &mut Lines| {
            let found = lines.read().unwrap();
            (found, String::from_utf8(lines.text.clone()).unwrap(), lines.count)
        };
        assert_eq!(read(&mut lines), (Found::Line, "a\n".into(), 1));
        assert_eq!(read(&mut lines), (Found::Line, "a\nb\n".into(), 2));
        assert_eq!(read(&mut lines), (Found::Line, "a\nb\n\n".into(), 3));
        lines.keep_first(1);
        lines.text.clear();
        assert_eq!(read(&mut lines), (Found::Line, "b\n".into(), 2));
        assert_eq!(read(&mut lines), (Found::Line, "b\n\n".into(), 3));
        assert_eq!(read(&mut lines), (Found::Line, "b\n\nc\n".into(), 4));
        lines.keep_first(2);
        lines.text.clear();
        assert_eq!(read(&mut lines), (Found::Line, "\n".into(), 3));
        assert_eq!(read(&mut lines), (Found::Line, "\nc\n".into(), 4));
        assert_eq!(read(&mut lines).0, Found::End);
    }

    #[test]
    fn a_line_that_is_too_long_can_be_passed_over() {
        let text = ["x".repeat(MOST_ROW - 1), "y".repeat(3 * MOST_ROW), "z".into()].join("\n");
        let mut lines = lines(text);
        assert_eq!((lines.read().unwrap(), lines.text.len()), (Found::Line, MOST_ROW));
        lines.text.clear();
        assert_eq!((lines.read().unwrap(), lines.text.len()), (Found::TooLong, MOST_ROW + 1));
        lines.skip_line().unwrap();
        lines.text.clear();
        assert_eq!(
            (lines.read().unwrap(), &lines.text[..], lines.count),
            (Found::Line, &b"z\n"[..], 3)
        );
    }
}
