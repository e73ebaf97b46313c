//! Records of separated fields, with the place of every error: the one reader for ratings, tables and rows to predict for.

use std::io::Read;
use std::path::Path;

use csv_core::ReadRecordResult;
use moe_core::{did_you_mean, nearest_name};

use crate::error::{DataError, shown};
use crate::formats::dialect::{Dialect, Quotes};
use crate::formats::lines::{Extended, LineReader};
use crate::formats::other_format::other_format;
use crate::formats::unpack::{open_unpacked, unpacked};

/// Reads the records of a file; blank lines are passed over.
pub(crate) struct Delimited {
    lines: LineReader,
    dialect: Dialect,
    parser: csv_core::Reader,
    /// The fields of a record with quotes, one after the other.
    unquoted: Vec<u8>,
    /// Whether the record is in `unquoted`; if not, it is the text of the lines.
    is_unquoted: bool,
    /// Where each field of the record ends.
    ends: Vec<usize>,
    columns: Columns,
}

/// The columns of a file.
#[derive(Default)]
struct Columns {
    /// Number of fields of each record; 0 until it is known.
    width: usize,
    /// Names of all columns, or none.
    names: Vec<String>,
    /// Whether the names are from the file.
    has_header: bool,
}

impl Delimited {
    /// The records of a file, plain or gzip.
    pub(crate) fn open(path: &Path, dialect: Dialect) -> Result<Self, DataError> {
        Ok(Self::new(open_unpacked(path)?, path, dialect))
    }

    /// The records of an embedded file, plain or gzip.
    pub(crate) fn embedded(
        name: &str,
        bytes: &'static [u8],
        dialect: Dialect,
    ) -> Result<Self, DataError> {
        let path = Path::new(name);
        Ok(Self::new(unpacked(bytes, path)?, path, dialect))
    }

    /// The records of `from`, which errors call `file`.
    pub(crate) fn new(from: Box<dyn Read + Send>, file: &Path, dialect: Dialect) -> Self {
        let parser = csv_core::ReaderBuilder::new()
            .delimiter(dialect.separator.as_bytes()[0])
            .escape((dialect.quotes == Quotes::Escaped).then_some(b'\\'))
            .terminator(csv_core::Terminator::Any(b'\n'))
            .build();
        Delimited {
            lines: LineReader::new(from, file, dialect.limits),
            dialect,
            parser,
            unquoted: Vec::new(),
            is_unquoted: false,
            ends: Vec::new(),
            columns: Columns::default(),
        }
    }

    /// Without a header: each record has one field for each of these columns.
    pub(crate) fn with_columns(mut self, names: &[&str]) -> Self {
        self.columns.width = names.len();
        self.columns.names = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Without a header: each record has `width` fields, whose columns have no names.
    pub(crate) fn with_width(mut self, width: usize) -> Self {
        self.columns.width = width;
        self
    }

    /// Reads the first record as the names of all columns, and returns where the `wanted` ones are, from 0.
    ///
    /// # Errors
    /// If a wanted column is missing or there twice, or there is no record.
    pub(crate) fn header(&mut self, wanted: &[&str]) -> Result<Vec<usize>, DataError> {
        let all_wanted = shown(wanted.join(", ").as_bytes());
        let has_header = self.read().map_err(|error| self.other_format(wanted).unwrap_or(error))?;
        if !has_header {
            let allowed = format!("a header with the columns {all_wanted}");
            return Err(self.lines.no_rows(allowed));
        }
        let name = |place| String::from_utf8_lossy(self.field(place)).trim().to_owned();
        let names: Vec<String> = (0..self.width()).map(name).collect();
        let mut places = Vec::with_capacity(wanted.len());
        for &name in wanted {
            let mut found = (0..names.len()).filter(|&place| names[place] == name);
            let problem = match (found.next(), found.next()) {
                (Some(place), None) => {
                    places.push(place);
                    continue;
                }
                (Some(_), Some(_)) => format!("two columns {name:?} in the header"),
                (None, _) => {
                    if let Some(error) = self.other_format(wanted) {
                        return Err(error);
                    }
                    let header = shown(names.join(self.dialect.separator).as_bytes());
                    let nearest = nearest_name(name, names.iter().map(String::as_str));
                    let hint = did_you_mean(" (", nearest, ")");
                    format!("no column {name:?} in the header {header}{hint}")
                }
            };
            return Err(self.lines.malformed(
                None,
                problem,
                format!("one column of this name; asked for are {all_wanted}"),
            ));
        }
        self.columns = Columns { width: names.len(), names, has_header: true };
        Ok(places)
    }

    /// The error that the file is of another format, if its beginning shows which one.
    fn other_format(&self, wanted: &[&str]) -> Option<DataError> {
        let (problem, allowed) = other_format(self.lines.head(), self.dialect.separator, wanted)?;
        Some(self.lines.malformed(None, problem, allowed))
    }

    /// Reads the first record, which must be the names of the columns.
    ///
    /// # Errors
    /// If it is something else, or there is no record.
    pub(crate) fn skip_header(&mut self) -> Result<(), DataError> {
        if !self.read()? {
            return Err(self.empty());
        }
        let names = &self.columns.names;
        if (0..names.len()).all(|place| self.field(place).trim_ascii() == names[place].as_bytes()) {
            return Ok(());
        }
        Err(self.lines.malformed(None, "not the header", names.join(self.dialect.separator)))
    }

    /// Reads the next record; false at the end.
    ///
    /// # Errors
    /// [`DataError::Malformed`] if it does not have one field per column, a quote in it is not closed, or it is too long;
    /// the next record can then be read. Otherwise [`DataError::Unreadable`].
    pub(crate) fn read(&mut self) -> Result<bool, DataError> {
        if !self.lines.next()? {
            return Ok(false);
        }
        self.is_unquoted = !self.split();
        let mut is_whole = true;
        if self.is_unquoted {
            self.unquote()?;
        } else if self.dialect.separator.len() == 2 {
            is_whole = self.join_separators();
        }
        if is_whole && (self.columns.width == 0 || self.columns.width == self.width()) {
            return Ok(true);
        }
        Err(self.lines.malformed(None, format!("{} fields", self.width()), self.expected()))
    }

    /// Number of fields of the record.
    fn width(&self) -> usize {
        self.ends.len()
    }

    /// A field of the record, from 0; empty if there is no such field.
    pub(crate) fn field(&self, place: usize) -> &[u8] {
        let Some(&end) = self.ends.get(place) else { return &[] };
        let (text, between) = if self.is_unquoted {
            (&self.unquoted[..], 0)
        } else {
            (self.lines.text(), self.dialect.separator.len())
        };
        let start = if place == 0 { 0 } else { self.ends[place - 1] + between };
        &text[start..end]
    }

    /// A field of the record, from 0, which must be UTF-8.
    ///
    /// # Errors
    /// If it is not.
    pub(crate) fn text(&self, place: usize) -> Result<&str, DataError> {
        let not_text = |_| self.wrong(place, "is not UTF-8", "text in UTF-8");
        str::from_utf8(self.field(place)).map_err(not_text)
    }

    /// The lines of the record.
    pub(crate) fn lines(&self) -> &LineReader {
        &self.lines
    }

    /// A column, from 0, as errors name it: from 1, and its name if it has one.
    pub(crate) fn column(&self, place: usize) -> Option<(usize, &str)> {
        let name = self.columns.names.get(place).map_or("", String::as_str);
        Some((place + 1, name))
    }

    /// The error that a field of the record, from 0, `is` not one of those `allowed`.
    pub(crate) fn wrong(&self, place: usize, is: &str, allowed: impl Into<String>) -> DataError {
        let problem = format!("{} {is}", shown(self.field(place).trim_ascii()));
        self.lines.malformed(self.column(place), problem, allowed)
    }

    /// The error of a file without records.
    pub(crate) fn empty(&self) -> DataError {
        self.lines.no_rows(format!("lines of {}", self.expected()))
    }

    fn expected(&self) -> String {
        let Columns { width, names, has_header } = &self.columns;
        if *has_header {
            format!("{width} fields, as in the header")
        } else if names.is_empty() {
            format!("{width} fields")
        } else {
            format!("{width} fields, {}", names.join(self.dialect.separator))
        }
    }

    /// Splits a line without quotes at each separator character; false if it may have quotes.
    fn split(&mut self) -> bool {
        let separator = self.dialect.separator.as_bytes()[0];
        let may_quote = self.dialect.quotes != Quotes::Ordinary;
        let text = self.lines.text();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        self.ends.clear();
        for (place, &byte) in text.iter().enumerate() {
            if byte == separator {
                self.ends.push(place);
            } else if byte == b'"' && may_quote {
                return false;
            }
        }
        self.ends.push(text.len());
        true
    }

    /// For a separator of two characters: between two fields there is an empty one. Takes these out, and returns whether
    /// all were there.
    fn join_separators(&mut self) -> bool {
        let mut is_whole = self.ends.len() % 2 == 1;
        for place in (1..self.ends.len()).step_by(2) {
            is_whole &= self.ends[place] == self.ends[place - 1] + 1;
        }
        let mut place = 0;
        self.ends.retain(|_| {
            place += 1;
            place % 2 == 1
        });
        is_whole
    }

    /// Parses a record with quotes, which may span lines.
    fn unquote(&mut self) -> Result<(), DataError> {
        self.parser.reset();
        let (mut read, mut length, mut count) = (0, 0, 0);
        loop {
            let text = self.lines.text();
            // A field may be as long as the text, and there are fewer fields than bytes.
            self.unquoted.resize(text.len().max(self.unquoted.len()), 0);
            self.ends.resize(text.len() + 1, 0);
            let (result, _, written, ended) = self.parser.read_record(
                &text[read..],
                &mut self.unquoted[length..],
                &mut self.ends[count..],
            );
            (read, length, count) = (text.len(), length + written, count + ended);
            if result == ReadRecordResult::Record {
                break;
            }
            let extended = self.lines.extend()?;
            if extended != Extended::Line {
                // The lines after a stray quote may be good rows.
                self.lines.keep_first_line();
                let bound = if extended == Extended::TooLong { " in a mebibyte" } else { "" };
                let problem = format!("a quote that is not closed{bound}");
                let allowed = "fields in two quotes or none; a quote in such a field doubled";
                return Err(self.lines.malformed(self.column(count), problem, allowed));
            }
        }
        self.ends.truncate(count);
        // A carriage return before the last line feed belongs to the line's end, unless it is in quotes.
        if let Some(last) = self.ends.last_mut()
            && self.unquoted[..*last].ends_with(b"\r")
            && self.lines.text().ends_with(b"\r\n")
        {
            *last -= 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
