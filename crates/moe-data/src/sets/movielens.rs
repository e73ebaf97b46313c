//! MovieLens as GroupLens distributes it: `u.data` (100K), `ratings.dat` (1M, 10M) and `ratings.csv` (latest-small,
//! 20M, 25M, 32M); and any table of the last kind.
//!
//! Ids are numbered in the order of their first appearance. A pair that occurs twice is an error, as there is none in
//! the originals. In `movielens-csv`, where users and items may have any names, the last one counts.

use crate::error::DataError;
use crate::formats::dialect::Dialect;
use crate::formats::record::Scale;
use crate::ratings::rating_set::{DEFAULTS, RatingSet, Source, TAKES};
use crate::ratings::ratings::{Collector, Duplicates};

const STARS: Scale = Scale { least: 1.0, most: 5.0, step: 1.0 };
const HALF_STARS: Scale = Scale { least: 0.5, most: 5.0, step: 0.5 };
/// Without a bound on the ids.
const ANY_ID: u32 = u32::MAX;

const TERMS: &str = "MovieLens licence: research use, no redistribution without permission, no commercial use; \
     GroupLens, University of Minnesota (Harper and Konstan 2015)";
const GET: &str = "https://grouplens.org/datasets/movielens/";

/// What the sets have in common.
const MOVIELENS: RatingSet = RatingSet {
    id: "",
    summary: "",
    terms: TERMS,
    folder: "",
    names: &["ratings.csv"],
    stem: "ratings",
    files: "ratings.csv (or ratings.csv.gz, or one other file ratings*.csv)",
    get: GET,
    embedded: None,
    item: "movie",
    duplicates: Duplicates::Refused,
    defaults: DEFAULTS,
    takes: TAKES,
    read: |source, _, out| by_header(source, HEADER, Some(HALF_STARS), out),
};

pub(crate) static M100K: RatingSet = RatingSet {
    id: "movielens-100k",
    summary: "MovieLens 100K: 943 users, 1,682 movies, 1 to 5 stars; watch and rating",
    folder: "ml-100k",
    names: &["u.data"],
    stem: "u",
    files: "u.data (or u.data.gz)",
    read: |source, _, out| by_place(source, Dialect::TABS, [943, 1682], STARS, out),
    ..MOVIELENS
};

pub(crate) static M1M: RatingSet = RatingSet {
    id: "movielens-1m",
    summary: "MovieLens 1M: 6,040 users, 3,706 movies, 1 to 5 stars; watch and rating",
    folder: "movielens-1m",
    names: &["ratings.dat"],
    files: DAT,
    read: |source, _, out| by_place(source, Dialect::COLONS, [6040, 3952], STARS, out),
    ..MOVIELENS
};

pub(crate) static M10M: RatingSet = RatingSet {
    id: "movielens-10m",
    summary: "MovieLens 10M: 69,878 users, 10,677 movies, half to 5 stars; watch and rating",
    folder: "ml-10m",
    names: &["ratings.dat"],
    files: DAT,
    read: |source, _, out| by_place(source, Dialect::COLONS, [ANY_ID; 2], HALF_STARS, out),
    ..MOVIELENS
};

pub(crate) static LATEST_SMALL: RatingSet = RatingSet {
    id: "movielens-latest-small",
    summary: "MovieLens latest-small (2018): 610 users, 9,724 movies, half to 5 stars; watch and rating",
    terms: "may be used for research and redistributed under the same conditions, no commercial use; GroupLens, \
            University of Minnesota (Harper and Konstan 2015)",
    folder: "ml-latest-small",
    ..MOVIELENS
};

pub(crate) static M20M: RatingSet = RatingSet {
    id: "movielens-20m",
    summary: "MovieLens 20M: 138,493 users, half to 5 stars; watch and rating",
    folder: "ml-20m",
    ..MOVIELENS
};

pub(crate) static M25M: RatingSet = RatingSet {
    id: "movielens-25m",
    summary: "MovieLens 25M: 162,541 users, half to 5 stars; watch and rating",
    folder: "ml-25m",
    ..MOVIELENS
};

pub(crate) static M32M: RatingSet = RatingSet {
    id: "movielens-32m",
    summary: "MovieLens 32M: 200,948 users, half to 5 stars; watch and rating",
    folder: "ml-32m",
    ..MOVIELENS
};

pub(crate) static CSV: RatingSet = RatingSet {
    id: "movielens-csv",
    summary: "any CSV file with a header and columns of users, items and ratings; watch and rating",
    terms: "those of the file",
    folder: "movielens-csv",
    get: "a table of your own; its columns are named by user_column, item_column and rating_column",
    item: "item",
    duplicates: Duplicates::LastCounts,
    takes: &["ratings_file", "cache_dir", "unknown", "user_column", "item_column", "rating_column"],
    read: |source, options, out| {
        let given = [&options.user_column, &options.item_column, &options.rating_column];
        let mut columns = HEADER;
        for (column, given) in columns.iter_mut().zip(given) {
            *column = given.as_deref().unwrap_or(column);
        }
        by_header(source, columns, None, out)
    },
    ..MOVIELENS
};

const HEADER: [&str; 3] = ["userId", "movieId", "rating"];
const DAT: &str = "ratings.dat (or ratings.dat.gz, or one other file ratings*.dat)";

/// Lines of user, movie, rating and time, without a header.
fn by_place(
    source: &Source,
    dialect: Dialect,
    most: [u32; 2],
    scale: Scale,
    out: &mut Collector,
) -> Result<(), DataError> {
    let mut fields = source.fields(dialect, &["user", "movie", "rating", "time"])?;
    while let Some(record) = fields.next()? {
        let user = out.users.number(record.id(0, most[0])?);
        let movie = out.items.number(record.id(1, most[1])?);
        out.push(user, movie, record.number(2, &scale)?, record.line());
    }
    if out.len() == 0 { Err(fields.empty()) } else { Ok(()) }
}

/// Lines of at least these columns, user, item and rating, which a header names. With a scale, users and items are
/// numbers; without one they are texts, and ratings any numbers.
fn by_header(
    source: &Source,
    columns: [&str; 3],
    scale: Option<Scale>,
    out: &mut Collector,
) -> Result<(), DataError> {
    let mut fields = source.fields(Dialect::QUOTED_COMMAS, &[])?;
    let places = fields.header(&columns)?;
    while let Some(record) = fields.next()? {
        let id = |column| match scale {
            Some(_) => record.id(column, ANY_ID),
            None => record.text(column),
        };
        let user = out.users.number(id(places[0])?);
        let item = out.items.number(id(places[1])?);
        let rating = record.number(places[2], &scale.unwrap_or(Scale::ANY))?;
        out.push(user, item, rating, record.line());
    }
    if out.len() == 0 { Err(fields.empty()) } else { Ok(()) }
}
