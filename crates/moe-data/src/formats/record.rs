//! One record of a file of separated fields, and the errors that it can hold.

use std::fmt;
use std::path::PathBuf;

use csv::ByteRecord;

use crate::error::DataError;

/// A file's name and columns.
pub(crate) struct Layout {
    pub(crate) file: PathBuf,
    pub(crate) separator: &'static str,
    /// Number of fields of each record; 0 until a header has told.
    pub(crate) width: usize,
    /// Names of the first columns.
    pub(crate) names: Vec<String>,
}

/// One record.
pub(crate) struct Record<'a> {
    pub(crate) fields: &'a ByteRecord,
    pub(crate) layout: &'a Layout,
    pub(crate) line: u64,
}

impl Layout {
    pub(crate) fn header(&self) -> String {
        self.names.join(self.separator)
    }

    pub(crate) fn expected(&self) -> String {
        match self.width {
            0 => format!("a header with the columns {}", self.names.join(", ")),
            width if self.names.len() == width => format!("{width} fields, {}", self.header()),
            width => format!("{width} fields"),
        }
    }

    /// Pieces from one field to the next: a separator of two characters leaves an empty piece between fields.
    fn step(&self) -> usize {
        self.separator.len()
    }

    pub(crate) fn width_of(&self, record: &ByteRecord) -> usize {
        record.len().div_ceil(self.step())
    }

    /// Whether the record has as many fields as it should, with whole separators between them.
    pub(crate) fn fits(&self, record: &ByteRecord) -> bool {
        let whole = |record: &ByteRecord| {
            record.len() % 2 == 1 && (1..record.len()).step_by(2).all(|at| record[at].is_empty())
        };
        (self.width == 0 || self.width_of(record) == self.width)
            && (self.step() == 1 || whole(record))
    }
}

impl Record<'_> {
    /// What stands in a column (from 0) without blanks around it; empty if there is no such column.
    pub(crate) fn bytes(&self, column: usize) -> &[u8] {
        self.fields.get(column * self.layout.step()).unwrap_or_default().trim_ascii()
    }

    /// The line that the record ends in, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    pub(crate) fn is(&self, names: &[String]) -> bool {
        names.iter().enumerate().all(|(column, name)| self.bytes(column) == name.as_bytes())
    }

    /// The text in a column (from 0), which must be UTF-8 and not empty.
    pub(crate) fn text(&self, column: usize) -> Result<&str, DataError> {
        match str::from_utf8(self.bytes(column)) {
            Ok("") => Err(self.wrong(column, "is empty", "a name".into())),
            Ok(text) => Ok(text),
            Err(_) => Err(self.wrong(column, "is not UTF-8", "text in UTF-8".into())),
        }
    }

    /// The number in a column (from 0), which must be on the scale.
    pub(crate) fn number(&self, column: usize, scale: &Scale) -> Result<f32, DataError> {
        let text = str::from_utf8(self.bytes(column)).unwrap_or_default();
        match text.parse::<f32>() {
            Ok(number) if scale.has(number) => Ok(number),
            _ => Err(self.wrong(column, "is not a number on the scale", scale.to_string())),
        }
    }

    /// The text of a whole number from 1 to `most` in a column (from 0), in digits without leading zeros, so that
    /// equal numbers are equal texts.
    pub(crate) fn id(&self, column: usize, most: u32) -> Result<&str, DataError> {
        let bytes = self.bytes(column);
        let plain = bytes.iter().all(u8::is_ascii_digit) && !bytes.starts_with(b"0");
        match str::from_utf8(bytes).map(|text| (text, text.parse::<u32>())) {
            Ok((text, Ok(number))) if plain && number <= most => Ok(text),
            _ => Err(self.wrong(column, "is not an id in range", format!("1 to {most}"))),
        }
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
        self.malformed(Some(column), format!("{} {is}", shown(self.bytes(column))), allowed)
    }

    /// The error that a column, or the whole line, has a problem.
    pub(crate) fn malformed(
        &self,
        column: Option<usize>,
        problem: String,
        allowed: String,
    ) -> DataError {
        DataError::Malformed {
            file: self.layout.file.clone(),
            line: self.line,
            column: column.map(|column| column + 1),
            name: column.and_then(|c| self.layout.names.get(c)).cloned().unwrap_or_default(),
            problem,
            allowed,
        }
    }
}

/// The numbers that a rating can be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) least: f32,
    pub(crate) most: f32,
    /// Ratings are multiples of this; 0 if they are not.
    pub(crate) step: f32,
}

impl Scale {
    /// Every finite number.
    pub(crate) const ANY: Scale = Scale { least: f32::MIN, most: f32::MAX, step: 0.0 };

    pub(crate) fn has(&self, number: f32) -> bool {
        (self.least..=self.most).contains(&number)
            && (self.step == 0.0 || (number / self.step).fract() == 0.0)
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            _ if self.least == f32::MIN => f.write_str("a finite number"),
            0.0 => write!(f, "{} to {}", self.least, self.most),
            step => write!(f, "{} to {} in steps of {step}", self.least, self.most),
        }
    }
}

/// The most characters of a value that a message repeats.
const SHOWN: usize = 32;

/// The beginning of a text, in quotes.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_on_their_scale() {
        let halves = Scale { least: 0.5, most: 5.0, step: 0.5 };
        assert!([0.5, 3.0, 4.5, 5.0].into_iter().all(|rating| halves.has(rating)));
        for rating in [0.0, 0.75, 5.5, -1.0, f32::NAN, f32::INFINITY] {
            assert!(!halves.has(rating), "{rating}");
        }
        assert!(
            Scale::ANY.has(-1e9) && !Scale::ANY.has(f32::NAN) && !Scale::ANY.has(f32::INFINITY)
        );
        assert_eq!(halves.to_string(), "0.5 to 5 in steps of 0.5");
    }
}
