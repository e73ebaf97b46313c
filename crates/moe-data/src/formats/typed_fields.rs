//! Fields of separated records as what they should be: names, ids, whole numbers, ratings.

use std::fmt;

use crate::error::DataError;
use crate::features::number::MOST_TARGET;
use crate::formats::delimited::Delimited;

impl Delimited {
    /// A field of the record, from 0, without blanks around it; empty if there is no such field.
    pub(crate) fn trimmed(&self, place: usize) -> &[u8] {
        self.field(place).trim_ascii()
    }

    /// The name in a field, from 0, which must be UTF-8 and not empty.
    pub(crate) fn name(&self, place: usize) -> Result<&str, DataError> {
        match self.text(place)?.trim_ascii() {
            "" => Err(self.wrong(place, "is empty", "a name")),
            name => Ok(name),
        }
    }

    /// The number in a field, from 0, which must be on the scale.
    pub(crate) fn number(&self, place: usize, scale: &Scale) -> Result<f32, DataError> {
        let text = str::from_utf8(self.trimmed(place)).unwrap_or_default();
        match text.parse::<f32>() {
            Ok(number) if scale.has(number) => Ok(number),
            _ => Err(self.wrong(place, "is not a number on the scale", scale.to_string())),
        }
    }

    /// The text of a whole number from 1 to `most` in a field, from 0, in digits without leading zeros, so that equal
    /// numbers are equal texts.
    pub(crate) fn id(&self, place: usize, most: u32) -> Result<&str, DataError> {
        let bytes = self.trimmed(place);
        let is_plain = bytes.iter().all(u8::is_ascii_digit) && !bytes.starts_with(b"0");
        match str::from_utf8(bytes).map(|text| (text, text.parse::<u32>())) {
            Ok((text, Ok(number))) if is_plain && number <= most => Ok(text),
            _ => Err(self.wrong(place, "is not an id in range", format!("1 to {most}"))),
        }
    }

    /// The whole number in a field, from 0, which must be at most `most`. A fraction of zero (`4.0`) is accepted.
    pub(crate) fn whole(&self, place: usize, most: u32) -> Result<u32, DataError> {
        let text = str::from_utf8(self.trimmed(place)).unwrap_or_default();
        let text = text
            .split_once('.')
            .filter(|(_, fraction)| fraction.bytes().all(|b| b == b'0'))
            .map_or(text, |(whole, _)| whole);
        match text.parse::<u32>() {
            Ok(number) if number <= most => Ok(number),
            _ => Err(self.wrong(place, "is not a whole number in range", format!("0 to {most}"))),
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
    /// Every number that can be a target.
    pub(crate) const ANY: Scale = Scale { least: -MOST_TARGET, most: MOST_TARGET, step: 0.0 };

    pub(crate) fn has(&self, number: f32) -> bool {
        (self.least..=self.most).contains(&number)
            && (self.step == 0.0 || (number / self.step).fract() == 0.0)
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            _ if self.most == MOST_TARGET => write!(f, "{:e} to {:e}", self.least, self.most),
            0.0 => write!(f, "{} to {}", self.least, self.most),
            step => write!(f, "{} to {} in steps of {step}", self.least, self.most),
        }
    }
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
        assert_eq!(Scale::ANY.to_string(), "-1e15 to 1e15");
        assert_eq!(halves.to_string(), "0.5 to 5 in steps of 0.5");
    }
}
