use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The names that the ids of a column stand for: id i is the i-th name.
///
/// Names are those of the original files, as text. They translate rows of the original data into ids that a trained model
/// knows, and back. With serde, a vocabulary is the list of its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// All names, one after the other.
    text: String,
    /// Where each name ends.
    ends: Vec<usize>,
}

impl Vocabulary {
    /// Number of names.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The name of an id; `None` if there is no such id.
    pub fn name(&self, id: u32) -> Option<&str> {
        let id = id as usize;
        let start = if id == 0 { 0 } else { *self.ends.get(id - 1)? };
        Some(&self.text[start..*self.ends.get(id)?])
    }

    /// The names in the order of their ids.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end])
    }

    /// The id of each name.
    pub fn ids(&self) -> HashMap<&str, u32> {
        self.names().zip(0..).collect()
    }

    fn push(&mut self, name: &str) {
        self.text.push_str(name);
        self.ends.push(self.text.len());
    }
}

impl<'a> FromIterator<&'a str> for Vocabulary {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut vocabulary = Vocabulary::default();
        names.into_iter().for_each(|name| vocabulary.push(name));
        vocabulary
    }
}

impl Serialize for Vocabulary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names: Vec<&str> = self.names().collect();
        names.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Ok(names.iter().map(String::as_str).collect())
    }
}

/// Numbers names in the order of their first appearance.
#[derive(Default)]
pub(crate) struct Numbering {
    numbers: HashMap<Box<str>, u32>,
    names: Vocabulary,
}

impl Numbering {
    pub(crate) fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let next = self.numbers.len() as u32;
        self.numbers.insert(name.into(), next);
        self.names.push(name);
        next
    }

    pub(crate) fn name(&self, number: u32) -> &str {
        self.names.name(number).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(crate) fn names(&self) -> &Vocabulary {
        &self.names
    }

    pub(crate) fn into_names(self) -> Vocabulary {
        self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_by_first_appearance() {
        let mut numbering = Numbering::default();
        let numbers = ["b", "é", "b", "", "é"].map(|name| numbering.number(name));
        assert_eq!(numbers, [0, 1, 0, 2, 1]);
        let names = numbering.into_names();
        assert_eq!(names.names().collect::<Vec<_>>(), ["b", "é", ""]);
        assert_eq!([0, 1, 2, 3].map(|id| names.name(id)), [Some("b"), Some("é"), Some(""), None]);
        assert_eq!((names.len(), names.ids()["é"], Vocabulary::default().name(0)), (3, 1, None));
        let text = serde_json::to_string(&names).unwrap();
        assert_eq!(text, r#"["b","é",""]"#);
        assert_eq!(serde_json::from_str::<Vocabulary>(&text).unwrap(), names);
    }
}
