//! A table of people, and a run over it.

use super::{Place, Ran};

/// Ids, numbers and categories; a task of each kind.
pub const TABLE: &str = r#"
[dataset]
name = "table"
[dataset.table]
file = "people.csv"
ids = ["user"]
unknown = "refuse"
numbers = ["age"]
categories = ["job"]
targets = [{ column = "bought", kind = "binary" }, { column = "stars", kind = "regression" },
           { column = "colour", kind = "multiclass" }]
[model]
experts = 4
expert_width = 4
embedding_width = 3
head_widths = [4]
[train]
epochs = 1
[run]
seeds = 1
"#;

pub const HEADER: &str = "note,user,age,job,bought,stars,colour";

/// Row i of the table, with a comma, quotes and a line feed in the field that no model reads.
pub fn row(i: usize) -> [String; 7] {
    let job = ["smith", "", "clerk"][i % 3];
    let colour = ["red", "dark green"][i % 2];
    [
        format!("row {i}, \"so\" \nto say"),
        format!("u{}", i % 11),
        if i.is_multiple_of(5) { String::new() } else { (20 + i % 37).to_string() },
        job.into(),
        (i % 2).to_string(),
        (i % 5).to_string(),
        colour.into(),
    ]
}

pub fn csv(rows: std::ops::Range<usize>) -> String {
    let quoted = |field: String| format!("\"{}\"", field.replace('"', "\"\""));
    let line = |i: usize| row(i).map(quoted).join(",") + "\n";
    format!("{HEADER}\n{}", rows.map(line).collect::<String>())
}

pub fn jsonl(rows: std::ops::Range<usize>) -> String {
    let line = |i: usize| {
        let [note, user, age, job, ..] = row(i);
        let age = if age.is_empty() { "null".into() } else { age };
        format!("{{\"job\":{job:?},\"age\":{age},\"x\":[1],\"user\":{user:?},\"note\":{note:?}}}\n")
    };
    rows.map(line).collect()
}

/// A folder with that table and its configuration.
pub fn untrained() -> Place {
    let place = Place::new();
    place.write("people.csv", csv(0..200));
    place.write("table.toml", TABLE);
    place
}

/// A folder with a run over that table.
pub fn table() -> Place {
    let place = untrained();
    let run = ["train", "--config", "table.toml", "--router", "top-k", "--out", "run"];
    place.run(&[&run[..], &["--progress", "none"]].concat()).succeeded();
    place
}

pub fn predict(place: &Place, more: &str) -> Ran {
    let args: Vec<&str> = ["predict", "run", "--progress", "none"]
        .into_iter()
        .chain(more.split_whitespace())
        .collect();
    place.run(&args)
}
