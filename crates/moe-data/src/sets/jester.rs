//! Jester, dataset 1: users' ratings of 100 jokes, -10 to 10 (Goldberg, Roeder, Gupta and Perkins 2001).
//!
//! Each line is a user: the number of ratings, then a field for each joke, 99 where it was not rated. The original
//! spreadsheets `jester-data-1` to `-3` are read as CSV, those that exist one after the other. Users are named by their
//! line, counted through all files; jokes are named 1 to 100.

use crate::catalog::entry::Entry;
use crate::error::DataError;
use crate::formats::dialect::Dialect;
use crate::formats::typed_fields::Scale;
use crate::ratings::rating_set::RatingSet;
use crate::ratings::ratings::{Collector, Duplicates};
use crate::ratings::source::Source;
use crate::source_folder::SourceFolder;

const SET: RatingSet = RatingSet {
    id: "jester",
    source: SourceFolder {
        name: "jester",
        files: "jester-data-1.csv, jester-data-2.csv and jester-data-3.csv (each also with .gz, or only some of them), or \
                one other file jester*.csv",
        get: "https://eigentaste.berkeley.edu/dataset/ (dataset 1, saved as CSV)",
    },
    names: &["jester-data-1.csv", "jester-data-2.csv", "jester-data-3.csv"],
    stem: "jester",
    embedded: None,
    columns: ["user", "joke"],
    // There is one field for each pair.
    duplicates: Duplicates::Refused,
    read: |source, _, out| read(source, out),
};
pub(crate) const ENTRY: Entry = Entry {
    summary: "100 jokes rated from -10 to 10; watch (was the joke rated?) and rating",
    terms: "free for research use with citation of the Eigentaste paper; Ken Goldberg and others, UC Berkeley",
    facts: &[("ids.joke", 100.0)],
    ..SET.entry(|options| SET.load(options))
};

const JOKES: u32 = 100;
const NOT_RATED: f32 = 99.0;
const SCALE: Scale = Scale { least: -10.0, most: 10.0, step: 0.0 };

fn read(source: &Source, out: &mut Collector) -> Result<(), DataError> {
    let jokes: Vec<String> = (1..=JOKES).map(|joke| joke.to_string()).collect();
    let jokes_by_name = jokes.iter().map(|joke| out.items.number(joke)).collect::<Vec<_>>();
    let names: Vec<&str> =
        std::iter::once("ratings").chain(jokes.iter().map(String::as_str)).collect();
    let mut fields = source.records(Dialect::COMMAS)?.with_columns(&names);
    let first = out.len();
    while fields.read()? {
        let user = out.users.number(&(out.users.len() + 1).to_string());
        let stated = fields.whole(0, JOKES)?;
        let mut found = 0;
        for (&joke, column) in jokes_by_name.iter().zip(1..) {
            let rating = fields.number(column, &Scale::ANY)?;
            if rating == NOT_RATED {
                continue;
            }
            if !SCALE.has(rating) {
                let allowed = format!("{SCALE}, or {NOT_RATED} if it was not rated");
                return Err(fields.wrong(column, "is not a rating", allowed));
            }
            out.push(user, joke, rating, fields.lines().line());
            found += 1;
        }
        if found != stated {
            let says = format!("is not the number of rated jokes, {found}");
            return Err(fields.wrong(0, &says, found.to_string()));
        }
    }
    if out.len() == first { Err(fields.empty()) } else { Ok(()) }
}
