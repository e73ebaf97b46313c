use std::io::{BufReader, Read};
use std::path::Path;

use crate::error::DataError;
use crate::formats::delimited::Delimited;
use crate::formats::dialect::{Dialect, Limits};
use crate::formats::json_rows::JsonRows;
use crate::formats::lines::LineReader;
use crate::formats::raw_field::RawField;
use crate::formats::unpack::{open_unpacked, unpacked};

/// The format of a file of raw rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// A header with the names of the columns, then one row per line; fields are separated by commas and may be quoted.
    Csv,
    /// One JSON object per line, whose fields have the names of the columns.
    JsonLines,
}

impl RowFormat {
    /// The format that belongs to the ending of a file's name: `.csv`, `.jsonl` or `.ndjson`, each also with `.gz`.
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

/// Reads raw rows one by one from a file of any length: the fields of the wanted columns, found by name. Files packed with
/// gzip are unpacked. A row has at most a mebibyte.
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
/// // Reading goes on after a bad row.
/// assert!(rows.read()?);
/// assert_eq!((rows.number(), &*rows.fields()[0].text), (2, "Bob"));
/// assert!(!rows.read()?);
/// # Ok::<(), moe_data::DataError>(())
/// ```
pub struct RowReader {
    /// Names of the columns that are wanted.
    columns: Vec<String>,
    fields: Vec<RawField>,
    format: Format,
    /// Number of rows read, including bad ones.
    rows: u64,
}

enum Format {
    /// With the place of each wanted column in the file.
    Csv(Box<Delimited>, Vec<usize>),
    JsonLines(Box<JsonRows>),
}

impl RowReader {
    /// Reads a file, unpacked if its name ends in `.gz` or its first bytes are those of gzip. The fields will be those of
    /// `columns`, in this order, each named once.
    ///
    /// # Errors
    /// If the file cannot be read, or its header lacks a column or has it twice.
    pub fn open(path: &Path, format: RowFormat, columns: Vec<String>) -> Result<Self, DataError> {
        Self::of(open_unpacked(path)?, path, format, columns)
    }

    /// [`RowReader::open`] for any reader; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`RowReader::open`].
    pub fn new(
        from: Box<dyn Read + Send>,
        name: &Path,
        format: RowFormat,
        columns: Vec<String>,
    ) -> Result<Self, DataError> {
        let from = unpacked(BufReader::with_capacity(64 << 10, from), name)?;
        Self::of(from, name, format, columns)
    }

    fn of(
        from: Box<dyn Read + Send>,
        name: &Path,
        format: RowFormat,
        columns: Vec<String>,
    ) -> Result<Self, DataError> {
        let format = match format {
            RowFormat::Csv => {
                let mut csv = Box::new(Delimited::new(from, name, Dialect::ROWS));
                let wanted: Vec<&str> = columns.iter().map(String::as_str).collect();
                let places = csv.header(&wanted)?;
                Format::Csv(csv, places)
            }
            RowFormat::JsonLines => {
                let lines = LineReader::new(from, name, Limits::ROWS);
                Format::JsonLines(Box::new(JsonRows::new(lines, &columns)))
            }
        };
        let fields = vec![RawField::default(); columns.len()];
        Ok(RowReader { columns, fields, format, rows: 0 })
    }

    /// Reads the next row; false at the end.
    ///
    /// # Errors
    /// [`DataError::Malformed`] if the row is bad: it has too many or too few fields, is not UTF-8 or not JSON, has a quote
    /// that is not closed, or is too long. The next row can then be read. After any other error, reading is over.
    pub fn read(&mut self) -> Result<bool, DataError> {
        let found = match &mut self.format {
            Format::Csv(csv, places) => read_csv(csv, places, &mut self.fields),
            Format::JsonLines(json) => json.read(&mut self.fields),
        };
        if !matches!(found, Ok(false)) {
            self.rows += 1;
        }
        found
    }

    /// The fields of the row that was read.
    pub fn fields(&self) -> &[RawField] {
        &self.fields
    }

    /// The line at which that row begins, from 1.
    pub fn line(&self) -> u64 {
        self.lines().line()
    }

    /// The index of that row in the file, from 0, counting bad rows.
    pub fn number(&self) -> u64 {
        self.rows.saturating_sub(1)
    }

    /// Adds the place in the file to the error that the row does not fit, a [`DataError::Field`]. Other errors stay as they
    /// are.
    pub fn located(&self, error: DataError) -> DataError {
        let DataError::Field { column, problem, allowed, .. } = error else { return error };
        let wanted = self.columns.iter().position(|name| *name == column);
        match (&self.format, wanted) {
            (Format::Csv(csv, places), Some(wanted)) => {
                csv.lines().malformed(csv.column(places[wanted]), problem, allowed)
            }
            (Format::JsonLines(json), Some(_)) => {
                let problem = format!("field {column:?}: {problem}");
                json.lines().malformed(None, problem, allowed)
            }
            (_, None) => self.lines().malformed(None, problem, allowed),
        }
    }

    fn lines(&self) -> &LineReader {
        match &self.format {
            Format::Csv(csv, _) => csv.lines(),
            Format::JsonLines(json) => json.lines(),
        }
    }
}

/// Reads the next record's columns at these places into `fields`; false at the end.
fn read_csv(
    csv: &mut Delimited,
    places: &[usize],
    fields: &mut [RawField],
) -> Result<bool, DataError> {
    if !csv.read()? {
        return Ok(false);
    }
    for (field, &place) in fields.iter_mut().zip(places) {
        field.text.clear();
        field.text.push_str(csv.text(place)?);
    }
    Ok(true)
}

impl std::fmt::Debug for RowReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowReader of {}, after row {}", self.columns.join(", "), self.rows)
    }
}
