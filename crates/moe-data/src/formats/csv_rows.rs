//! Raw rows in CSV: see [`RowReader`](crate::RowReader).

use csv_core::ReadRecordResult;

use crate::formats::lines::{Found, Lines};
use crate::formats::record::shown;
use crate::formats::row_reader::{BadRow, NoRow, RawField, nearest};

/// Reads records of separated fields that may span lines.
pub(crate) struct CsvRows {
    parser: csv_core::Reader,
    /// The fields of a record one after the other.
    text: Vec<u8>,
    /// Where each of them ends, and how many there are.
    ends: Vec<usize>,
    width: usize,
    /// Names of all columns.
    names: Vec<String>,
    /// Where those that are wanted stand.
    places: Vec<usize>,
}

impl Default for CsvRows {
    fn default() -> Self {
        let terminator = csv_core::Terminator::Any(b'\n');
        CsvRows {
            parser: csv_core::ReaderBuilder::new().terminator(terminator).build(),
            text: Vec::new(),
            ends: Vec::new(),
            width: 0,
            names: Vec::new(),
            places: Vec::new(),
        }
    }
}

impl CsvRows {
    /// Reads the names of the columns, and finds those that are wanted.
    pub(crate) fn header(&mut self, lines: &mut Lines, wanted: &[String]) -> Result<(), NoRow> {
        let allowed =
            || format!("one column of each name, {}", shown(wanted.join(", ").as_bytes()));
        if !self.record(lines, &mut 0)? {
            let problem = "the file holds no rows";
            return Err(BadRow::whole(problem, "a header with the names of the columns").into());
        }
        let name = |place| String::from_utf8_lossy(self.field(place)).trim().to_owned();
        self.names = (0..self.width).map(name).collect();
        for name in wanted {
            let mut found = (0..self.width).filter(|&place| self.names[place] == *name);
            let problem = match (found.next(), found.next()) {
                (Some(place), None) => {
                    self.places.push(place);
                    continue;
                }
                (Some(_), Some(_)) => format!("two columns {name:?} in the header"),
                _ => {
                    let near = nearest(name, self.names.iter().map(String::as_str));
                    format!("no column {name:?} in the header{near}")
                }
            };
            return Err(BadRow::whole(problem, allowed()).into());
        }
        Ok(())
    }

    /// Where a wanted column stands in the file, from 0.
    pub(crate) fn place(&self, wanted: usize) -> usize {
        self.places[wanted]
    }

    /// Reads the next record into `fields`, and where it begins into `line`; false at the end.
    pub(crate) fn read(
        &mut self,
        lines: &mut Lines,
        fields: &mut [RawField],
        line: &mut u64,
    ) -> Result<bool, NoRow> {
        if !self.record(lines, line)? {
            return Ok(false);
        }
        if self.width != self.names.len() {
            let allowed = format!("{} fields, as in the header", self.names.len());
            return Err(BadRow::whole(format!("{} fields", self.width), allowed).into());
        }
        for (field, &place) in fields.iter_mut().zip(&self.places) {
            let bytes = self.field(place);
            let Ok(text) = str::from_utf8(bytes) else {
                let problem = format!("{} is not UTF-8", shown(bytes));
                return Err(self.wrong(place, problem, "text in UTF-8").into());
            };
            field.text.clear();
            field.text.push_str(text);
        }
        Ok(true)
    }

    fn field(&self, place: usize) -> &[u8] {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.text[start..self.ends[place]]
    }

    fn wrong(&self, place: usize, problem: impl Into<String>, allowed: &str) -> BadRow {
        let name = self.names.get(place).cloned().unwrap_or_default();
        BadRow { column: Some((place + 1, name)), ..BadRow::whole(problem, allowed) }
    }

    /// Parses the next record that is not blank; false at the end. After an error the next one begins at the next line.
    fn record(&mut self, lines: &mut Lines, line: &mut u64) -> Result<bool, NoRow> {
        lines.text.clear();
        self.parser.reset();
        let (mut length, mut count) = (0, 0);
        loop {
            let start = lines.text.len();
            let found = lines.read()?;
            if start == 0 {
                *line = lines.count;
            }
            match found {
                Found::End if start == 0 => return Ok(false),
                Found::TooLong if start == 0 => {
                    lines.skip_line()?;
                    return Err(BadRow::too_long().into());
                }
                Found::End | Found::TooLong => {
                    // What a stray quote has swallowed may be good rows.
                    lines.keep_first(*line);
                    let bound = if found == Found::TooLong { " in a mebibyte" } else { "" };
                    let problem = format!("a quote that is not closed{bound}");
                    let allowed = "fields in two quotes or none; a quote in such a field doubled";
                    return Err(self.wrong(count, problem, allowed).into());
                }
                Found::Line if start == 0 && lines.text.trim_ascii().is_empty() => {
                    lines.text.clear();
                    continue;
                }
                Found::Line => {}
            }
            // A field may be as long as the text, and there are fewer than bytes.
            self.text.resize(lines.text.len().max(self.text.len()), 0);
            self.ends.resize((lines.text.len() + 1).max(self.ends.len()), 0);
            let (result, _, written, ended) = self.parser.read_record(
                &lines.text[start..],
                &mut self.text[length..],
                &mut self.ends[count..],
            );
            (length, count) = (length + written, count + ended);
            if result == ReadRecordResult::Record {
                break;
            }
        }
        self.width = count;
        // Of the line's end, unless it is in quotes.
        let last = &mut self.ends[count - 1];
        if *last > 0 && self.text[*last - 1] == b'\r' && lines.text.ends_with(b"\r\n") {
            *last -= 1;
        }
        Ok(true)
    }
}
