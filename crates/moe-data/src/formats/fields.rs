//! Separated fields from plain or gzip files, with the place of every error.

use std::io::{self, Cursor, Read};
use std::path::Path;

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use flate2::bufread::MultiGzDecoder;

use crate::error::DataError;
use crate::formats::binary::{GZIP, open_unpacked};
use crate::formats::capped::Capped;
use crate::formats::dialect::{Dialect, Quotes};
use crate::formats::record::{Layout, Record, shown};

/// The records of a file; blank lines are skipped.
pub(crate) struct Fields {
    reader: Reader<Capped<Box<dyn Read>>>,
    record: ByteRecord,
    layout: Layout,
}

impl Fields {
    /// The comma-separated records of a file, unpacked if its name ends in `.gz` or its first bytes say gzip.
    pub(crate) fn open(path: &Path, names: &[&str]) -> Result<Self, DataError> {
        Self::open_as(Dialect::PLAIN, path, names)
    }

    /// [`Fields::open`] in another dialect. Without names, [`Fields::header`] must come next.
    pub(crate) fn open_as(
        dialect: Dialect,
        path: &Path,
        names: &[&str],
    ) -> Result<Self, DataError> {
        let unpacked = open_unpacked(path)?;
        Ok(Self::new(dialect, path, names.len(), names, unpacked))
    }

    /// The comma-separated records of an embedded file of `width` columns.
    pub(crate) fn embedded(name: &str, bytes: &'static [u8], width: usize, names: &[&str]) -> Self {
        Self::embedded_as(Dialect::PLAIN, name, bytes, width, names)
    }

    /// [`Fields::embedded`] in another dialect.
    pub(crate) fn embedded_as(
        dialect: Dialect,
        name: &str,
        bytes: &'static [u8],
        width: usize,
        names: &[&str],
    ) -> Self {
        let unpacked: Box<dyn Read> = match bytes.starts_with(&GZIP) {
            true => Box::new(MultiGzDecoder::new(Cursor::new(bytes))),
            false => Box::new(Cursor::new(bytes)),
        };
        Self::new(dialect, Path::new(name), width, names, unpacked)
    }

    fn new(
        dialect: Dialect,
        file: &Path,
        width: usize,
        names: &[&str],
        unpacked: Box<dyn Read>,
    ) -> Self {
        let Dialect { separator, quotes, most_bytes } = dialect;
        let quoted = quotes != Quotes::Ordinary;
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator.as_bytes()[0])
            .quoting(quoted)
            .escape((quotes == Quotes::Escaped).then_some(b'\\'))
            .terminator(Terminator::Any(b'\n'))
            .from_reader(Capped::new(unpacked, most_bytes, quoted));
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Fields {
            reader,
            record: ByteRecord::new(),
            layout: Layout { file: file.to_path_buf(), separator, width, names },
        }
    }

    /// The next record, or `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read on or the record has not exactly one field per column.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>, DataError> {
        self.reader.get_mut().begin_record();
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
        if !self.layout.fits(&self.record) {
            let found = self.layout.width_of(&self.record);
            return Err(record.malformed(None, format!("{found} fields"), self.layout.expected()));
        }
        Ok(Some(record))
    }

    /// Reads the first record as the names of the columns and returns where the `wanted` ones stand.
    ///
    /// # Errors
    /// If one of them is not there, or there twice.
    pub(crate) fn header(&mut self, wanted: &[&str]) -> Result<Vec<usize>, DataError> {
        self.layout.names = wanted.iter().map(|&name| name.to_owned()).collect();
        let Some(record) = self.next()? else { return Err(self.empty()) };
        let width = record.layout.width_of(record.fields);
        let names: Vec<String> =
            (0..width).map(|c| String::from_utf8_lossy(record.bytes(c)).into_owned()).collect();
        let mut places = Vec::with_capacity(wanted.len());
        for name in wanted {
            let mut found = (0..width).filter(|&column| names[column] == *name);
            let problem = match (found.next(), found.next()) {
                (Some(column), None) => {
                    places.push(column);
                    continue;
                }
                (Some(_), Some(_)) => format!("two columns {name:?} in the header"),
                _ => format!(
                    "no column {name:?} in the header {}",
                    shown(names.join(record.layout.separator).as_bytes())
                ),
            };
            let allowed = format!("one column of each name, {}", wanted.join(", "));
            return Err(record.malformed(None, problem, allowed));
        }
        self.layout.width = width;
        self.layout.names = names;
        Ok(places)
    }

    /// Whether the record is a line without anything but blanks.
    fn is_blank(&self) -> bool {
        self.record.len() == 1 && self.record.as_slice().trim_ascii().is_empty()
    }

    /// Reads the first record, which must be the names of the columns.
    pub(crate) fn skip_header(&mut self) -> Result<(), DataError> {
        let header = self.layout.header();
        match self.next()? {
            None => Err(self.empty()),
            Some(record) if record.is(&record.layout.names) => Ok(()),
            Some(record) => Err(record.malformed(None, "not the header".into(), header)),
        }
    }

    /// The error for a file without records.
    pub(crate) fn empty(&self) -> DataError {
        DataError::Malformed {
            file: self.layout.file.clone(),
            line: 1,
            column: None,
            name: String::new(),
            problem: "the file holds no rows".into(),
            allowed: format!("lines of {}", self.layout.expected()),
        }
    }
}

fn into_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(source) => source,
        other => io::Error::new(io::ErrorKind::InvalidData, format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::dialect::MOST_BYTES;

    const NAMES: [&str; 2] = ["a", "b"];

    /// The numbers of all records, or the message of the first error.
    fn read(text: &'static str) -> Result<Vec<[u32; 2]>, String> {
        read_capped(Box::new(text.as_bytes()), MOST_BYTES)
    }

    fn read_capped(from: Box<dyn Read>, most: u64) -> Result<Vec<[u32; 2]>, String> {
        let dialect = Dialect { most_bytes: most, ..Dialect::PLAIN };
        let mut fields = Fields::new(dialect, Path::new("file.csv"), 2, &NAMES, from);
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

    /// The texts of all records, or the message of the first error.
    fn texts(dialect: Dialect, text: &'static str) -> Result<Vec<[String; 2]>, String> {
        let from = Box::new(text.as_bytes());
        let mut fields = Fields::new(dialect, Path::new("file.csv"), 2, &NAMES, from);
        let mut rows = Vec::new();
        while let Some(record) = fields.next().map_err(|error| error.to_string())? {
            rows.push([0, 1].map(|column| String::from_utf8_lossy(record.bytes(column)).into()));
        }
        Ok(rows)
    }

    #[test]
    fn separators_and_quotes() {
        let rows = Ok(vec![["a", "b"].map(str::to_owned), ["c", "\"d;,"].map(str::to_owned)]);
        for (dialect, text) in [
            (Dialect::TABS, "a\tb\nc\t\"d;,\n"),
            (Dialect::COLONS, "a::b\r\nc::\"d;,\r\n"),
            (Dialect::QUOTED_COMMAS, "a,\"b\"\n\"c\",\"\"\"d;,\"\n"),
            (Dialect::ESCAPED_SEMICOLONS, "\"a\";\"b\"\n\"c\";\"\\\"d;,\"\n"),
        ] {
            assert_eq!(texts(dialect, text), rows, "{text:?}");
        }
        for (text, found) in [
            ("a:b\n", "1 fields"),
            ("a::b::\n", "3 fields"),
            ("a:::b\n", "2 fields"),
            ("a:b:c\n", "2 fields"),
        ] {
            let error = texts(Dialect::COLONS, text).unwrap_err();
            let expected = format!("line 1: {found}; allowed: 2 fields, a::b");
            assert!(error.contains(&expected), "{text:?}: {error}");
        }
    }

    /// A quote that is never closed does not make the program hold the rest of the file.
    #[test]
    fn a_quote_is_closed_within_bounds() {
        let rows = texts(Dialect::QUOTED_COMMAS, "1,\"2\n3\"\n4,\"5\\\"\n").unwrap();
        assert_eq!(rows, [["1", "2\n3"], ["4", "5\\"]]);
        let open: &'static str = format!("1,\"{}", "2\n".repeat(1 << 20)).leak();
        let error = texts(Dialect::QUOTED_COMMAS, open).unwrap_err();
        assert!(error.contains("a quote that is not closed"), "{error}");
    }

    #[test]
    fn a_header_tells_where_columns_are() {
        let header = |text: &'static str| {
            let from = Box::new(text.as_bytes());
            let mut fields = Fields::new(Dialect::QUOTED_COMMAS, Path::new("f"), 0, &[], from);
            fields.header(&["b", "a"]).map_err(|error| error.to_string())
        };
        assert_eq!(header("a,\"b\",c\r\n1,2,3\n"), Ok(vec![1, 0]));
        for (text, says) in [
            (
                "",
                "line 1: the file holds no rows; allowed: lines of a header with the columns b, a",
            ),
            ("a,c\n", "line 1: no column \"b\" in the header \"a,c\""),
            ("a,b,a\n", "line 1: two columns \"a\" in the header"),
        ] {
            let error = header(text).unwrap_err();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }
}
