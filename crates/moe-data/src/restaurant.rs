//! Restaurant & Consumer Data: what users said about places, in three marks from 0 to 2.
//!
//! Ids of users (138) and places (130) are numbered in the order of their first appearance in the file.
//! The three marks are regression tasks; every row has all three. The 1,161 rows are cut at random into
//! train (929), validation (116) and test (116). A row's id is its index in the file.

use std::collections::HashMap;

use moe_core::batch::{IdColumn, InputSpec, TaskKind, TaskSpec};

use crate::fields::Fields;
use crate::table::{Column, Features, Table};
use crate::{DataError, Dataset, LoadOptions, split};

pub(crate) const ID: &str = "restaurant";

const FILE: &[u8] = include_bytes!("../data/restaurant-rating_final.csv");
const NAMES: &[&str] = &["userID", "placeID", "rating", "food_rating", "service_rating"];
const TASKS: [&str; 3] = ["rating", "food_rating", "service_rating"];
const BEST: u32 = 2;

pub(crate) fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let mut users = Ids::default();
    let mut places = Ids::default();
    let mut marks = [const { Vec::new() }; 3];
    let mut fields = Fields::embedded("rating_final.csv", FILE, NAMES.len(), NAMES);
    fields.skip_header()?;
    while let Some(record) = fields.next()? {
        users.push(record.bytes(0));
        places.push(record.bytes(1));
        for (task, marks) in marks.iter_mut().enumerate() {
            marks.push(record.whole(2 + task, BEST)? as f32);
        }
    }

    let rows = users.column.len();
    // 20 % for validation and test, half of them for each.
    let [train, rest] = split::cut((0..rows as u32).collect(), 20, options.seed, "restaurant");
    let [val, test] = split::cut(rest, 50, options.seed, "restaurant test");

    let table = Table {
        input: InputSpec::Ids { columns: vec![users.spec("user"), places.spec("place")] },
        tasks: TASKS
            .map(|name| TaskSpec { name: name.to_owned(), kind: TaskKind::Regression })
            .to_vec(),
        features: Features::Ids(vec![users.column, places.column]),
        targets: marks.map(Column::Regression).into(),
        planted: None,
    };
    Dataset::new(ID, table, [train, val, test])
}

/// A column of names turned into numbers in the order of their first appearance.
#[derive(Default)]
struct Ids {
    numbers: HashMap<Vec<u8>, u32>,
    column: Vec<u32>,
}

impl Ids {
    fn push(&mut self, name: &[u8]) {
        let next = self.numbers.len() as u32;
        let number = match self.numbers.get(name) {
            Some(&number) => number,
            None => *self.numbers.entry(name.to_vec()).or_insert(next),
        };
        self.column.push(number);
    }

    fn spec(&self, name: &str) -> IdColumn {
        IdColumn { name: name.to_owned(), vocabulary: self.numbers.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbered_by_first_appearance() {
        let mut ids = Ids::default();
        for name in ["b", "a", "b", "c", "a"] {
            ids.push(name.as_bytes());
        }
        assert_eq!(ids.column, [0, 1, 0, 2, 1]);
        assert_eq!(ids.spec("x").vocabulary, 3);
    }
}
