use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use moe_core::nearest_name;

use crate::error::DataError;
use crate::formats::binary::{open_unpacked, unpacked};
use crate::formats::capped::too_early;
use crate::formats::csv_rows::CsvRows;
use crate::formats::json_rows::JsonRows;
use crate::formats::lines::{Lines, MOST_ROW};

/// How a file of raw rows is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// A header with the names of the columns, then a row a line; fields are separated by commas and may stand in quotes.
    Csv,
    /// A JSON object a line, its fields named like the columns.
    JsonLines,
}

impl RowFormat {
    /// The format that the ending of a file's name says: `.csv`, `.jsonl` or `.ndjson`, each also with `.gz`.
    pub fn of_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        match plain.rsplit_once('.')?.1 {
            "csv" => Some(RowFormat::Csv),
            "jsonl" | "ndjson" => Some(RowFormat::JsonLines),
            _ => None,
        }
    }
}

/// A field of a raw row: its text, and whether that is JSON rather than text (a number, `true`, `false`; empty for `null`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawField {
    /// As it stands in the file, without quotes and what is escaped in them.
    pub text: String,
    /// Whether it stood without quotes in JSON.
    pub is_bare: bool,
}

impl AsRef<str> for RawField {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// Reads raw rows one by one, of files of any length: the fields of some columns, found by name; the others are passed
/// over. Packed files (gzip) are unpacked. A row has at most a mebibyte.
///
/// ```
/// use std::path::Path;
/// use moe_data::{RowFormat, RowReader};
///
/// let text = "film,user,year\n3,\"Ann\",1999\n4\n5,Bob,2001\n";
/// let columns = ["user", "film"].map(str::to_owned).to_vec();
/// let mut rows = RowReader::new(Box::new(text.as_bytes()), Path::new("f.csv"), RowFormat::Csv, columns)?;
/// assert!(rows.read()?);
/// assert_eq!((rows.line(), &*rows.fields()[0].text, &*rows.fields()[1].text), (2, "Ann", "3"));
/// let error = rows.read().unwrap_err();
/// assert!(error.to_string().starts_with("f.csv, line 3: 1 fields; allowed: 3 fields"));
/// // A bad row is no reason to stop.
/// assert!(rows.read()?);
/// assert_eq!((rows.number(), &*rows.fields()[0].text), (2, "Bob"));
/// assert!(!rows.read()?);
/// # Ok::<(), moe_data::DataError>(())
/// ```
pub struct RowReader {
    file: PathBuf,
    lines: Lines,
    /// Names of the columns that are wanted.
    columns: Vec<String>,
    fields: Vec<RawField>,
    format: Format,
    /// Rows read, also bad ones.
    rows: u64,
    /// The line at which the last one began.
    line: u64,
}

enum Format {
    Csv(Box<CsvRows>),
    JsonLines(JsonRows),
}

/// Why there is no row.
pub(crate) enum NoRow {
    Io(io::Error),
    Bad(BadRow),
}

/// What is wrong with a row.
pub(crate) struct BadRow {
    /// Of the column: where it stands in the file, from 1 (in JSON the character of the line), and its name.
    pub(crate) column: Option<(usize, String)>,
    pub(crate) problem: String,
    pub(crate) allowed: String,
}

impl BadRow {
    /// The whole row.
    pub(crate) fn whole(problem: impl Into<String>, allowed: impl Into<String>) -> Self {
        BadRow { column: None, problem: problem.into(), allowed: allowed.into() }
    }

    pub(crate) fn too_long() -> Self {
        Self::whole(format!("the line has more than {MOST_ROW} bytes"), "shorter lines")
    }
}

impl From<io::Error> for NoRow {
    fn from(error: io::Error) -> Self {
        NoRow::Io(error)
    }
}

impl From<BadRow> for NoRow {
    fn from(row: BadRow) -> Self {
        NoRow::Bad(row)
    }
}

impl RowReader {
    /// Reads a file, unpacked if its name ends in `.gz` or its first bytes say gzip. The fields will be those of `columns`,
    /// in this order, each named once.
    ///
    /// # Errors
    /// If the file cannot be read, or its header lacks a column or has it twice.
    pub fn open(path: &Path, format: RowFormat, columns: Vec<String>) -> Result<Self, DataError> {
        let from = BufReader::with_capacity(64 << 10, open_unpacked(path)?);
        Self::of(Box::new(from), path, format, columns)
    }

    /// [`RowReader::open`] of anything; `name` is what errors call it.
    ///
    /// # Errors
    /// As `open`.
    pub fn new(
        from: Box<dyn Read + Send>,
        name: &Path,
        format: RowFormat,
        columns: Vec<String>,
    ) -> Result<Self, DataError> {
        let from = unpacked(BufReader::with_capacity(64 << 10, from), name)?;
        Self::of(Box::new(BufReader::with_capacity(64 << 10, from)), name, format, columns)
    }

    fn of(
        from: Box<dyn BufRead + Send>,
        name: &Path,
        format: RowFormat,
        columns: Vec<String>,
    ) -> Result<Self, DataError> {
        let mut reader = RowReader {
            file: name.to_path_buf(),
            lines: Lines::new(from),
            fields: vec![RawField::default(); columns.len()],
            format: Format::JsonLines(JsonRows::new(&[])),
            columns,
            rows: 0,
            line: 0,
        };
        reader.format = match format {
            RowFormat::Csv => {
                let mut csv = Box::<CsvRows>::default();
                let header = csv.header(&mut reader.lines, &reader.columns);
                reader.line = reader.lines.count.max(1);
                header.map_err(|no_row| reader.error(no_row))?;
                Format::Csv(csv)
            }
            RowFormat::JsonLines => Format::JsonLines(JsonRows::new(&reader.columns)),
        };
        Ok(reader)
    }

    /// Reads the next row; false at the end.
    ///
    /// # Errors
    /// [`DataError::Malformed`] if the row is not one, after which the next one can be read: its fields are too many or too
    /// few, it is not text, or no JSON, or a quote in it is not closed, or it is too long. Anything else is the end.
    pub fn read(&mut self) -> Result<bool, DataError> {
        let (lines, fields) = (&mut self.lines, &mut self.fields[..]);
        let found = match &mut self.format {
            Format::Csv(csv) => csv.read(lines, fields, &mut self.line),
            Format::JsonLines(json) => json.read(lines, fields, &mut self.line),
        };
        match found {
            Ok(false) => Ok(false),
            Ok(true) => {
                self.rows += 1;
                Ok(true)
            }
            Err(no_row) => {
                self.rows += 1;
                Err(self.error(no_row))
            }
        }
    }

    /// The fields of the row that was read.
    pub fn fields(&self) -> &[RawField] {
        &self.fields
    }

    /// The line at which it begins, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Its place among the rows of the file, from 0; bad ones count.
    pub fn number(&self) -> u64 {
        self.rows.saturating_sub(1)
    }

    /// The error that the row does not fit, a [`DataError::Field`], with its place in the file. Others stay as they are.
    pub fn located(&self, error: DataError) -> DataError {
        let DataError::Field { column, problem, allowed, .. } = error else { return error };
        let wanted = self.columns.iter().position(|name| *name == column);
        let place = match (&self.format, wanted) {
            (Format::Csv(csv), Some(wanted)) => Some((csv.place(wanted) + 1, column)),
            (Format::JsonLines(_), Some(_)) => {
                let problem = format!("field {column:?}: {problem}");
                return self.error(BadRow::whole(problem, allowed).into());
            }
            _ => None,
        };
        self.error(NoRow::Bad(BadRow { column: place, problem, allowed }))
    }

    fn error(&self, no_row: NoRow) -> DataError {
        match no_row {
            NoRow::Io(error) => DataError::Unreadable {
                file: self.file.clone(),
                line: Some(self.lines.count + 1),
                source: too_early(error),
            },
            NoRow::Bad(BadRow { column, problem, allowed }) => {
                let (column, name) = column.unzip();
                DataError::Malformed {
                    file: self.file.clone(),
                    line: self.line,
                    column,
                    name: name.unwrap_or_default(),
                    problem,
                    allowed,
                }
            }
        }
    }
}

impl std::fmt::Debug for RowReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowReader of {}, after line {}", self.file.display(), self.lines.count)
    }
}

/// The addition to an error about `name`, where there are these names.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    nearest_name(name, names).map_or_else(String::new, |near| format!(" (did you mean {near:?}?)"))
}
