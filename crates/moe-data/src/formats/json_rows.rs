//! Raw rows as lines of JSON: see [`RowReader`](crate::RowReader).

use std::collections::HashMap;
use std::fmt;

use moe_core::{did_you_mean, nearest_name};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{DataError, shown};
use crate::formats::lines::LineReader;
use crate::formats::raw_field::RawField;

/// Reads objects, each on a line.
pub(crate) struct JsonRows {
    lines: LineReader,
    names: Vec<String>,
    known: Known,
}

/// The wanted columns of an object.
struct Known {
    /// The place of each column by its name.
    places: HashMap<String, usize>,
    /// Whether the present object has the column, by place.
    seen: Vec<bool>,
    /// The key being read.
    key: String,
}

impl JsonRows {
    pub(crate) fn new(lines: LineReader, wanted: &[String]) -> Self {
        let places = wanted.iter().cloned().zip(0..).collect();
        let known = Known { places, seen: vec![false; wanted.len()], key: String::new() };
        JsonRows { lines, names: wanted.to_vec(), known }
    }

    /// The line of the object.
    pub(crate) fn lines(&self) -> &LineReader {
        &self.lines
    }

    /// Reads the next object into `fields`; false at the end.
    ///
    /// # Errors
    /// [`DataError::Malformed`] if the line is too long, not an object, or an object without these fields, after which the
    /// next one can be read; otherwise [`DataError::Unreadable`].
    pub(crate) fn read(&mut self, fields: &mut [RawField]) -> Result<bool, DataError> {
        if !self.lines.next()? {
            return Ok(false);
        }
        self.known.seen.fill(false);
        let mut parser = serde_json::Deserializer::from_slice(self.lines.text().trim_ascii_end());
        let object = Object { known: &mut self.known, fields };
        parser.deserialize_map(object).and_then(|()| parser.end()).map_err(|error| {
            let text = error.to_string();
            let problem = text.rsplit_once(" at line ").map_or(&*text, |(problem, _)| problem);
            let column = Some((error.column(), "")).filter(|(column, _)| *column > 0);
            self.lines.malformed(column, problem, "a JSON object, on a line of its own")
        })?;
        if let Some(place) = self.known.seen.iter().position(|seen| !seen) {
            return Err(self.lacking(&self.names[place]));
        }
        let is_nested = |field: &RawField| field.is_bare && field.text.starts_with(['[', '{']);
        if let Some(place) = fields.iter().position(is_nested) {
            let value = shown(fields[place].text.as_bytes());
            let problem = format!("field {:?} is {value}", self.names[place]);
            return Err(self.lines.malformed(None, problem, "a text or a number"));
        }
        Ok(true)
    }

    /// The error that the present object has no field `name`.
    fn lacking(&self, name: &str) -> DataError {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(self.lines.text()).unwrap_or_default();
        let nearest = nearest_name(name, object.keys().map(String::as_str));
        let problem = format!("no field {name:?}{}", did_you_mean(" (", nearest, ")"));
        let allowed = "a field for each column; null for an empty one";
        self.lines.malformed(None, problem, allowed)
    }
}

/// Takes the fields of an object.
struct Object<'a> {
    known: &'a mut Known,
    fields: &'a mut [RawField],
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Known { places, seen, key } = self.known;
        while map.next_key_seed(Text(key))?.is_some() {
            let Some(&place) = places.get(key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value: &RawValue = map.next_value()?;
            if std::mem::replace(&mut seen[place], true) {
                return Err(A::Error::custom("a field twice"));
            }
            let (field, json) = (&mut self.fields[place], value.get());
            field.is_bare = !json.starts_with('"');
            if !field.is_bare {
                let mut parser = serde_json::Deserializer::from_str(json);
                Text(&mut field.text).deserialize(&mut parser).map_err(A::Error::custom)?;
            } else {
                field.text.clear();
                field.text.push_str(if json == "null" { "" } else { json });
            }
        }
        Ok(())
    }
}

/// Reads a text into memory that is reused.
struct Text<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Text<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.clear();
        self.0.push_str(text);
        Ok(())
    }
}
