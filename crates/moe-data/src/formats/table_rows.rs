//! Rows of a user's table: separated fields with a header, or Parquet (feature `parquet`).

use std::path::Path;

use crate::error::{DataError, shown};
use crate::formats::delimited::Delimited;
use crate::formats::dialect::Dialect;

/// A row's fields, in the order of the wanted columns.
pub(crate) struct TableRow<'a> {
    pub(crate) fields: &'a [&'a str],
    file: &'a Path,
    line: u64,
    /// Where the columns are in the file, from 0.
    places: &'a [usize],
    names: &'a [&'a str],
}

impl TableRow<'_> {
    /// The error that a field `is` not one of those `allowed`.
    pub(crate) fn wrong(&self, field: usize, is: &str, allowed: impl Into<String>) -> DataError {
        let column = Some((self.places[field] + 1, self.names[field]));
        let problem = format!("{} {is}", shown(self.fields[field].as_bytes()));
        DataError::malformed(self.file, self.line, column, problem, allowed)
    }
}

/// Passes every row of a table to `take`, with these columns; a file that ends in `.parquet` is read as Parquet.
///
/// # Errors
/// If the file cannot be read, lacks a column, or `take` fails.
pub(crate) fn each(
    path: &Path,
    dialect: Dialect,
    columns: &[&str],
    take: &mut dyn FnMut(&TableRow<'_>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    if path.extension().is_some_and(|ending| ending == "parquet") {
        return parquet(path, columns, take);
    }
    let mut fields = Delimited::open(path, dialect)?;
    let places = fields.header(columns)?;
    while fields.read()? {
        let mut texts = Vec::with_capacity(places.len());
        for &place in &places {
            texts.push(fields.text(place)?.trim_ascii());
        }
        let line = fields.lines().line();
        take(&TableRow { fields: &texts, file: path, line, places: &places, names: columns })?;
    }
    Ok(())
}

#[cfg(not(feature = "parquet"))]
fn parquet(
    path: &Path,
    _: &[&str],
    _: &mut dyn FnMut(&TableRow<'_>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let problem = "a Parquet file, which this build does not read; build the command with cargo build --release -p \
                   moe-bench --features parquet (a program of your own: feature parquet of moe-data), or save the table as \
                   CSV";
    Err(broken(path, problem.to_owned()))
}

#[cfg(feature = "parquet")]
fn parquet(
    path: &Path,
    columns: &[&str],
    take: &mut dyn FnMut(&TableRow<'_>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    let file = std::fs::File::open(path).map_err(crate::formats::unpack::unreadable(path))?;
    let wrong = |error: parquet::errors::ParquetError| broken(path, error.to_string());
    let reader = SerializedFileReader::new(file).map_err(wrong)?;
    let schema = reader.metadata().file_metadata().schema();
    let names: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
    let mut places = Vec::new();
    for column in columns {
        let place = names.iter().position(|name| name == column);
        let missing = || broken(path, format!("no column {column:?} among {}", names.join(", ")));
        places.push(place.ok_or_else(missing)?);
    }
    for (row, line) in reader.get_row_iter(None).map_err(wrong)?.zip(1..) {
        let row = row.map_err(wrong)?;
        let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
        let texts = places.iter().map(|&place| match fields[place] {
            Field::Null => String::new(),
            Field::Str(text) => text.trim().to_owned(),
            Field::Bool(value) => u8::from(*value).to_string(),
            Field::Float(value) => value.to_string(),
            Field::Double(value) => value.to_string(),
            other => other.to_string(),
        });
        let texts: Vec<String> = texts.collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        take(&TableRow { fields: &texts, file: path, line, places: &places, names: columns })?;
    }
    Ok(())
}

fn broken(path: &Path, problem: String) -> DataError {
    let source = std::io::Error::new(std::io::ErrorKind::InvalidData, problem);
    DataError::Unreadable { file: path.to_path_buf(), line: None, source }
}
