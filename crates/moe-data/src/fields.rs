//! Comma-separated numbers from plain or gzip files, with the place of every error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use flate2::bufread::MultiGzDecoder;

use crate::DataError;
use crate::capped::Capped;

/// The most bytes that a file may unpack to: ten times the largest file read here.
pub(crate) const MOST_BYTES: u64 = 256 << 20;

/// The records of a file without quoting; every field is read as it stands, blank lines are skipped.
pub(crate) struct Fields {
    reader: Reader<Capped<Box<dyn Read>>>,
    record: ByteRecord,
    layout: Layout,
}

/// A file's name and columns.
struct Layout {
    file: PathBuf,
    /// Number of fields of each record.
    width: usize,
    /// Names of the first columns.
    names: &'static [&'static str],
}

/// One record.
pub(crate) struct Record<'a> {
    fields: &'a ByteRecord,
    layout: &'a Layout,
    line: u64,
}

impl Fields {
    /// The records of a file, unpacked if its name ends in `.gz` or its first bytes say gzip.
    pub(crate) fn open(path: &Path, names: &'static [&'static str]) -> Result<Self, DataError> {
        Self::open_capped(path, names, MOST_BYTES)
    }

    fn open_capped(
        path: &Path,
        names: &'static [&'static str],
        most: u64,
    ) -> Result<Self, DataError> {
        let unreadable =
            |source| DataError::Unreadable { file: path.to_path_buf(), line: None, source };
        let mut file = BufReader::with_capacity(64 << 10, File::open(path).map_err(unreadable)?);
        let packed = path.extension().is_some_and(|ending| ending == "gz")
            || file.fill_buf().map_err(unreadable)?.starts_with(&GZIP);
        let unpacked: Box<dyn Read> = match packed {
            true => Box::new(MultiGzDecoder::new(file)),
            false => Box::new(file),
        };
        Ok(Self::new(path, names.len(), names, unpacked, most))
    }

    /// The records of an embedded file of `width` columns.
    pub(crate) fn embedded(
        name: &str,
        bytes: &'static [u8],
        width: usize,
        names: &'static [&'static str],
    ) -> Self {
        let unpacked: Box<dyn Read> = match bytes.starts_with(&GZIP) {
            true => Box::new(MultiGzDecoder::new(Cursor::new(bytes))),
            false => Box::new(Cursor::new(bytes)),
        };
        Self::new(Path::new(name), width, names, unpacked, MOST_BYTES)
    }

    fn new(
        file: &Path,
        width: usize,
        names: &'static [&'static str],
        unpacked: Box<dyn Read>,
        most: u64,
    ) -> Self {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .quoting(false)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(Capped::new(unpacked, most));
        Fields {
            reader,
            record: ByteRecord::new(),
            layout: Layout { file: file.to_path_buf(), width, names },
        }
    }

    /// The next record, or `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read on or the record has not exactly one field per column.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>, DataError> {
        loop {
            match self.reader.read_byte_record(&mut self.record) {
                Ok(true) if self.is_blank() => {}
                Ok(true) => break,
                Ok(false) => return Ok(None),
                Err(error) => {
                    return Err(DataError::Unreadable {
                        file: self.layout.file.clone(),
                        line: Some(self.reader.position().line()),
                        source: into_io(error),
                    });
                }
            }
        }
        let record = Record {
            fields: &self.record,
            layout: &self.layout,
            // Every record ends with a line feed, so the reader stands on the next line.
            line: self.reader.position().line() - 1,
        };
        if self.record.len() != self.layout.width {
            let found = self.record.len();
            return Err(record.malformed(None, format!("{found} fields"), self.layout.expected()));
        }
        Ok(Some(record))
    }

    /// Whether the record is a line without anything but blanks.
    fn is_blank(&self) -> bool {
        self.record.len() == 1 && self.record.as_slice().trim_ascii().is_empty()
    }

    /// Reads the first record, which must be the names of the columns.
    pub(crate) fn skip_header(&mut self) -> Result<(), DataError> {
        let names = self.layout.names;
        let header = names.join(",");
        match self.next()? {
            None => Err(self.empty()),
            Some(record) if (0..names.len()).all(|c| record.bytes(c) == names[c].as_bytes()) => {
                Ok(())
            }
            Some(record) => Err(record.malformed(None, "not the header".into(), header)),
        }
    }

    /// The error for a file without records.
    pub(crate) fn empty(&self) -> DataError {
        DataError::Malformed {
            file: self.layout.file.clone(),
            line: 1,
            column: None,
            name: "",
            problem: "the file holds no rows".into(),
            allowed: format!("lines of {}", self.layout.expected()),
        }
    }
}

impl Layout {
    fn expected(&self) -> String {
        match self.names.len() == self.width {
            true => format!("{} fields, {}", self.width, self.names.join(",")),
            false => format!("{} fields", self.width),
        }
    }
}

impl Record<'_> {
    /// What stands in a column (from 0) without blanks around it; empty if there is no such column.
    pub(crate) fn bytes(&self, column: usize) -> &[u8] {
        self.fields.get(column).unwrap_or_default().trim_ascii()
    }

    /// The whole number in a column (from 0), which must be at most `most`. A fraction of zero
    /// (`4.0`) is accepted.
    pub(crate) fn whole(&self, column: usize, most: u32) -> Result<u32, DataError> {
        let text = str::from_utf8(self.bytes(column)).unwrap_or_default();
        let text = text
            .split_once('.')
            .filter(|(_, fraction)| fraction.bytes().all(|b| b == b'0'))
            .map_or(text, |(whole, _)| whole);
        match text.parse::<u32>() {
            Ok(number) if number <= most => Ok(number),
            _ => Err(self.wrong(column, "is not a whole number in range", format!("0 to {most}"))),
        }
    }

    /// The error that a column's value `is` not one of those `allowed`.
    pub(crate) fn wrong(&self, column: usize, is: &str, allowed: String) -> DataError {
        let text = String::from_utf8_lossy(self.bytes(column));
        let mut shown: String = text.chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        self.malformed(Some(column), format!("{shown:?} {is}"), allowed)
    }

    fn malformed(&self, column: Option<usize>, problem: String, allowed: String) -> DataError {
        DataError::Malformed {
            file: self.layout.file.clone(),
            line: self.line,
            column: column.map(|column| column + 1),
            name: column.and_then(|column| self.layout.names.get(column)).unwrap_or(&""),
            problem,
            allowed,
        }
    }
}

/// First bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The most characters of a value that a message repeats.
const SHOWN: usize = 32;

fn into_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(source) => source,
        other => io::Error::new(io::ErrorKind::InvalidData, format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["a", "b"];

    /// The numbers of all records, or the message of the first error.
    fn read(text: &'static str) -> Result<Vec<[u32; 2]>, String> {
        read_capped(Box::new(text.as_bytes()), MOST_BYTES)
    }

    fn read_capped(from: Box<dyn Read>, most: u64) -> Result<Vec<[u32; 2]>, String> {
        let mut fields = Fields::new(Path::new("file.csv"), 2, NAMES, from, most);
        let mut rows = Vec::new();
        let say = |error: DataError| error.to_string();
        while let Some(record) = fields.next().map_err(say)? {
            let a = record.whole(0, 9).map_err(say)?;
            rows.push([a, record.whole(1, 9).map_err(say)?]);
        }
        Ok(rows)
    }

    #[test]
    fn line_ends_blanks_and_a_byte_order_mark() {
        let rows = Ok(vec![[1, 2], [3, 4]]);
        for text in [
            "1,2\n3,4\n",
            "1,2\n3,4",
            "1,2\r\n3,4\r\n",
            "\n1, 2\n\n3 ,4.0\n\n",
            "\u{feff}1,2\n3,4\n",
        ] {
            assert_eq!(read(text), rows, "{text:?}");
        }
        assert_eq!(read(""), Ok(vec![]));
    }

    #[test]
    fn messages_name_line_and_column() {
        for (text, message) in [
            ("1,2\n3,x\n", r#"file.csv, line 2, column 2 (b): "x" is not"#),
            ("1,2\r\n3,4\r\n1,10", r#"file.csv, line 3, column 2 (b): "10" is not"#),
            ("1,2\n\n\n,4\n", r#"file.csv, line 4, column 1 (a): "" is not"#),
            ("1,2\n3\n", "file.csv, line 2: 1 fields; allowed: 2 fields, a,b"),
            ("1,2,3\n", "file.csv, line 1: 3 fields"),
            (
                "1,-2\n",
                r#"line 1, column 2 (b): "-2" is not a whole number in range; allowed: 0 to 9"#,
            ),
            ("1,2.5\n", r#"line 1, column 2 (b): "2.5""#),
            ("1,.\n", r#"line 1, column 2 (b): ".""#),
            ("1,NaN\n", r#"line 1, column 2 (b): "NaN""#),
            ("1,\"2\"\n", r#"line 1, column 2 (b): "\"2\"""#),
            ("1,99999999999999999999\n", "line 1, column 2 (b)"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(message), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_unpacks_to_too_much_is_an_error() {
        let error = read_capped(Box::new(io::repeat(b'\n')), 1000).unwrap_err();
        assert!(error.contains("more than 1000 bytes"), "{error}");
        let error = read_capped(Box::new(io::repeat(b',')), MOST_BYTES).unwrap_err();
        assert!(error.contains("a line has more than 65536 bytes"), "{error}");
    }

    #[test]
    fn a_line_may_span_reads() {
        struct Slow(&'static [u8]);
        impl Read for Slow {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(&mut buffer[..1])
            }
        }
        let rows = read_capped(Box::new(Slow(b"1,2\n3,4\n")), 100);
        assert_eq!(rows, Ok(vec![[1, 2], [3, 4]]));
    }
}
