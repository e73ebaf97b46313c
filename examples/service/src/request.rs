//! The body of `POST /predict`: `{"rows": [{column: value, ...}, ...]}`.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The fields of a row.
pub(crate) type Row = Map<String, Value>;

/// The rows of a request. Nothing but such an object is accepted, and no field twice.
#[derive(Debug)]
pub(crate) struct RequestRows {
    pub(crate) rows: Vec<Row>,
}

impl<'de> Deserialize<'de> for RequestRows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(RequestRows { rows: deserializer.deserialize_map(Body)? })
    }
}

/// The whole body.
struct Body;

/// The list of rows.
struct Rows;

/// A row with its place in the list.
struct OneRow(usize);

impl<'de> Visitor<'de> for Body {
    type Value = Vec<Row>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the field `rows`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Row>, A::Error> {
        let mut rows = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "rows" {
                return Err(A::Error::unknown_field(&key, &["rows"]));
            }
            if rows.replace(map.next_value_seed(Rows)?).is_some() {
                return Err(A::Error::custom("the field `rows` twice"));
            }
        }
        rows.ok_or_else(|| A::Error::missing_field("rows"))
    }
}

impl<'de> DeserializeSeed<'de> for Rows {
    type Value = Vec<Row>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Row>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows {
    type Value = Vec<Row>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Row>, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = list.next_element_seed(OneRow(rows.len()))? {
            rows.push(row);
        }
        Ok(rows)
    }
}

impl<'de> DeserializeSeed<'de> for OneRow {
    type Value = Row;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneRow {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with a field for each column as row {}", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let mut row = Row::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            if row.contains_key(&key) {
                return Err(A::Error::custom(format!("row {}: the field {key:?} twice", self.0)));
            }
            row.insert(key, value);
        }
        Ok(row)
    }
}
