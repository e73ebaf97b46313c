//! A small table of the user's own, and ways to spoil it.

use moe_data::{DataError, Dataset, LoadOptions, TableOptions, load};
use serde_json::{Value, json};

use super::{folder, seeded};

/// 60 rows of age, city and bought, whose fields `change` may change.
pub fn rows(header: &str, row: impl Fn(usize) -> String) -> Vec<u8> {
    format!("{header}\n{}", (0..60).map(|i| row(i) + "\n").collect::<String>()).into_bytes()
}

pub fn good(i: usize) -> String {
    format!("{},c{},{}", 20 + i % 7, i % 5, i % 2)
}

pub const HEADER: &str = "age,city,bought";

pub fn table() -> Vec<u8> {
    rows(HEADER, good)
}

/// The options of [`table`] with some keys changed.
pub fn options(changes: Value) -> TableOptions {
    let mut keys = json!({
        "file": "t.csv", "numbers": ["age"], "categories": ["city"],
        "targets": [{ "column": "bought", "kind": "binary" }],
    });
    for (key, value) in changes.as_object().unwrap() {
        keys[key] = value.clone();
    }
    serde_json::from_value(keys).unwrap()
}

pub fn read_as(name: &str, bytes: &[u8], changes: Value) -> Result<Dataset, DataError> {
    let dir = folder("table", &[(name, bytes)]);
    let table = TableOptions { file: name.into(), ..options(changes) };
    let data_dir = Some(dir.path().into());
    load("table", &LoadOptions { data_dir, table: Some(table), ..seeded(1) })
}

pub fn read(bytes: &[u8], changes: Value) -> Result<Dataset, DataError> {
    read_as("t.csv", bytes, changes)
}

pub fn replaced(from: &str, to: &str) -> Vec<u8> {
    String::from_utf8(table()).unwrap().replace(from, to).into_bytes()
}

/// The table with another first row.
pub fn first(row: &str) -> Vec<u8> {
    rows(HEADER, |i| if i == 0 { row.to_owned() } else { good(i) })
}
