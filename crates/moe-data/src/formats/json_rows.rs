//! Raw rows as lines of JSON: see [`RowReader`](crate::RowReader).

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::formats::lines::{Found, Lines};
use crate::formats::record::shown;
use crate::formats::row_reader::{BadRow, NoRow, RawField, nearest};

/// Reads objects, each on a line.
pub(crate) struct JsonRows {
    /// The place of each column that is wanted among these.
    places: HashMap<String, usize>,
    /// Which of them the present object has.
    seen: Vec<bool>,
}

impl JsonRows {
    pub(crate) fn new(wanted: &[String]) -> Self {
        let places = wanted.iter().cloned().zip(0..).collect();
        JsonRows { places, seen: vec![false; wanted.len()] }
    }

    /// Reads the object on the next line that is not blank into `fields`, and the line's number into `line`; false at the
    /// end.
    pub(crate) fn read(
        &mut self,
        lines: &mut Lines,
        fields: &mut [RawField],
        line: &mut u64,
    ) -> Result<bool, NoRow> {
        loop {
            lines.text.clear();
            let found = lines.read()?;
            *line = lines.count;
            match found {
                Found::End => return Ok(false),
                Found::TooLong => {
                    lines.skip_line()?;
                    return Err(BadRow::too_long().into());
                }
                Found::Line if lines.text.trim_ascii().is_empty() => {}
                Found::Line => break,
            }
        }
        self.seen.fill(false);
        let mut parser = serde_json::Deserializer::from_slice(lines.text.trim_ascii_end());
        let object = Object { rows: self, fields };
        parser.deserialize_map(object).and_then(|()| parser.end()).map_err(|error| {
            let text = error.to_string();
            let problem = text.rsplit_once(" at line ").map_or(&*text, |(problem, _)| problem);
            let column = Some((error.column(), String::new())).filter(|(column, _)| *column > 0);
            BadRow { column, ..BadRow::whole(problem, "a JSON object, on a line of its own") }
        })?;
        if let Some(place) = self.seen.iter().position(|seen| !seen) {
            return Err(self.lacking(place, &lines.text).into());
        }
        let nested = |field: &RawField| field.is_bare && field.text.starts_with(['[', '{']);
        if let Some(place) = fields.iter().position(nested) {
            let problem =
                format!("field {:?} is {}", self.name(place), shown(fields[place].text.as_bytes()));
            return Err(BadRow::whole(problem, "a text or a number").into());
        }
        Ok(true)
    }

    fn name(&self, place: usize) -> &str {
        self.places.iter().find(|(_, p)| **p == place).map_or("", |(name, _)| name)
    }

    /// The error that a column is not in an object.
    fn lacking(&self, place: usize, text: &[u8]) -> BadRow {
        let name = self.name(place);
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(text).unwrap_or_default();
        let near = nearest(name, object.keys().map(String::as_str));
        let allowed = "a field for each column; null if there is nothing to say";
        BadRow::whole(format!("no field {name:?}{near}"), allowed)
    }
}

/// Takes the fields of an object.
struct Object<'a> {
    rows: &'a mut JsonRows,
    fields: &'a mut [RawField],
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let JsonRows { places, seen } = self.rows;
        while let Some(place) = map.next_key_seed(Key(places))? {
            let Some(place) = place else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value: &RawValue = map.next_value()?;
            if std::mem::replace(&mut seen[place], true) {
                return Err(A::Error::custom("a field twice"));
            }
            let (field, json) = (&mut self.fields[place], value.get());
            field.text.clear();
            field.is_bare = !json.starts_with('"');
            match (field.is_bare, json) {
                (true, "null") => {}
                (true, json) => field.text.push_str(json),
                (false, json) => {
                    let mut parser = serde_json::Deserializer::from_str(json);
                    parser.deserialize_str(Text(&mut field.text)).map_err(A::Error::custom)?;
                }
            }
        }
        Ok(())
    }
}

/// Looks a key up.
struct Key<'a>(&'a HashMap<String, usize>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.get(name).copied())
    }
}

/// Takes a text over.
struct Text<'a>(&'a mut String);

impl Visitor<'_> for Text<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.push_str(text);
        Ok(())
    }
}
