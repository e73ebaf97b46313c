//! MovieLens as GroupLens distributes it: `u.data` (100K), `ratings.dat` (1M, 10M) and `ratings.csv` (latest-small,
//! 20M, 25M, 32M); and any table in the format of the last one.
//!
//! Ids are numbered in the order of their first appearance. A pair that occurs twice is an error, since the originals have
//! none. In `movielens-csv`, where users and items may have any names, the last one counts.

use crate::catalog::download::Download;
use crate::catalog::entry::Entry;
use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::formats::dialect::Dialect;
use crate::formats::typed_fields::Scale;
use crate::options::LoadOptions;
use crate::ratings::rating_set::RatingSet;
use crate::ratings::ratings::{Collector, Duplicates};
use crate::ratings::source::Source;
use crate::source_folder::SourceFolder;

const STARS: Scale = Scale { least: 1.0, most: 5.0, step: 1.0 };
const HALF_STARS: Scale = Scale { least: 0.5, most: 5.0, step: 0.5 };
/// Without a bound on the ids.
const ANY_ID: u32 = u32::MAX;
const HEADER: [&str; 3] = ["userId", "movieId", "rating"];

/// The properties that the sets share.
const MOVIELENS: RatingSet = RatingSet {
    id: "",
    source: SourceFolder {
        name: "",
        files: "ratings.csv (or ratings.csv.gz, or one other file ratings*.csv)",
        get: "https://grouplens.org/datasets/movielens/",
    },
    names: &["ratings.csv"],
    stem: "ratings",
    embedded: None,
    columns: ["user", "movie"],
    duplicates: Duplicates::Refused,
    read: |source, _, out| by_header(source, HEADER, Some(HALF_STARS), out),
};

/// A set of `ratings.csv` in this folder.
const fn csv(id: &'static str, folder: &'static str) -> RatingSet {
    RatingSet { id, source: SourceFolder { name: folder, ..MOVIELENS.source }, ..MOVIELENS }
}

/// A set of `ratings.dat` in this folder.
const fn dat(id: &'static str, folder: &'static str) -> RatingSet {
    let files = "ratings.dat (or ratings.dat.gz, or one other file ratings*.dat)";
    let source = SourceFolder { name: folder, files, ..MOVIELENS.source };
    RatingSet { id, source, names: &["ratings.dat"], ..MOVIELENS }
}

/// The entry of a set under the licence of MovieLens.
const fn licensed(set: &RatingSet, load: fn(&LoadOptions) -> Result<Dataset, DataError>) -> Entry {
    let terms = "MovieLens licence: research use, no redistribution without permission, no commercial use; GroupLens, \
                 University of Minnesota (Harper and Konstan 2015)";
    Entry { terms, must_accept: true, ..set.entry(load) }
}

const SET_100K: RatingSet = RatingSet {
    id: "movielens-100k",
    source: SourceFolder { name: "ml-100k", files: "u.data (or u.data.gz)", ..MOVIELENS.source },
    names: &["u.data"],
    stem: "u",
    read: |source, _, out| by_place(source, Dialect::TABS, [943, 1682], STARS, out),
    ..MOVIELENS
};
pub(crate) const M100K: Entry = Entry {
    summary: "MovieLens 100K: 943 users, 1,682 movies, 1 to 5 stars; watch and rating",
    downloads: &[Download::member(
        "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        Some("50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"),
        "ml-100k/u.data",
    )],
    originals: &[("u.data", "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490")],
    facts: &[
        ("rating.rows", 100_000.0),
        ("ids.user", 943.0),
        ("ids.movie", 1682.0),
        ("rating.mean", 3.52986),
        ("rating.1", 6110.0),
        ("rating.2", 11_370.0),
        ("rating.3", 27_145.0),
        ("rating.4", 34_174.0),
        ("rating.5", 21_201.0),
    ],
    ..licensed(&SET_100K, |options| SET_100K.load(options))
};

const SET_LATEST_SMALL: RatingSet = csv("movielens-latest-small", "ml-latest-small");
pub(crate) const LATEST_SMALL: Entry = Entry {
    summary: "MovieLens latest-small (2018): 610 users, 9,724 movies, half to 5 stars; watch and rating",
    terms: "may be used for research and redistributed under the same conditions, no commercial use; GroupLens, \
            University of Minnesota (Harper and Konstan 2015)",
    downloads: &[Download::member(
        "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip",
        Some("696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436"),
        "ml-latest-small/ratings.csv",
    )],
    originals: &[(
        "ratings.csv",
        "aa289ca83157595d0df6aea1be6a4ded676ddc4385472e8313a8ed9805352646",
    )],
    facts: &[
        ("rating.rows", 100_836.0),
        ("ids.user", 610.0),
        ("ids.movie", 9724.0),
        ("rating.mean", 3.50156),
    ],
    ..licensed(&SET_LATEST_SMALL, |options| SET_LATEST_SMALL.load(options))
};

const SET_1M: RatingSet = RatingSet {
    read: |source, _, out| by_place(source, Dialect::COLONS, [6040, 3952], STARS, out),
    ..dat("movielens-1m", "movielens-1m")
};
pub(crate) const M1M: Entry = Entry {
    summary: "MovieLens 1M: 6,040 users, 3,706 movies, 1 to 5 stars; watch and rating",
    downloads: &[Download::member(
        "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        Some("a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20"),
        "ml-1m/ratings.dat",
    )],
    originals: &[(
        "ratings.dat",
        "506d64ca44484487c11dc2d9a28de5c54948213e6b96285e298afe28d6ea4e0f",
    )],
    facts: &[("rating.rows", 1_000_209.0), ("ids.user", 6040.0), ("ids.movie", 3706.0)],
    ..licensed(&SET_1M, |options| SET_1M.load(options))
};

const SET_10M: RatingSet = RatingSet {
    read: |source, _, out| by_place(source, Dialect::COLONS, [ANY_ID; 2], HALF_STARS, out),
    ..dat("movielens-10m", "ml-10m")
};
pub(crate) const M10M: Entry = Entry {
    summary: "MovieLens 10M: 69,878 users, 10,677 movies, half to 5 stars; watch and rating",
    downloads: &[Download::member(
        "https://files.grouplens.org/datasets/movielens/ml-10m.zip",
        None,
        "ml-10M100K/ratings.dat",
    )],
    facts: &[("rating.rows", 10_000_054.0), ("ids.user", 69_878.0), ("ids.movie", 10_677.0)],
    ..licensed(&SET_10M, |options| SET_10M.load(options))
};

const SET_20M: RatingSet = csv("movielens-20m", "ml-20m");
pub(crate) const M20M: Entry = Entry {
    summary: "MovieLens 20M: 138,493 users, half to 5 stars; watch and rating",
    downloads: &[Download::member(
        "https://files.grouplens.org/datasets/movielens/ml-20m.zip",
        Some("96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3"),
        "ml-20m/ratings.csv",
    )],
    facts: &[("rating.rows", 20_000_263.0), ("ids.user", 138_493.0)],
    ..licensed(&SET_20M, |options| SET_20M.load(options))
};

const SET_25M: RatingSet = csv("movielens-25m", "ml-25m");
pub(crate) const M25M: Entry = Entry {
    summary: "MovieLens 25M: 162,541 users, half to 5 stars; watch and rating",
    downloads: &[Download::member(
        "https://files.grouplens.org/datasets/movielens/ml-25m.zip",
        Some("8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa"),
        "ml-25m/ratings.csv",
    )],
    facts: &[("rating.rows", 25_000_095.0), ("ids.user", 162_541.0)],
    ..licensed(&SET_25M, |options| SET_25M.load(options))
};

const SET_32M: RatingSet = csv("movielens-32m", "ml-32m");
pub(crate) const M32M: Entry = Entry {
    summary: "MovieLens 32M: 200,948 users, half to 5 stars; watch and rating",
    downloads: &[Download::member(
        "https://files.grouplens.org/datasets/movielens/ml-32m.zip",
        None,
        "ml-32m/ratings.csv",
    )],
    facts: &[("rating.rows", 32_000_204.0), ("ids.user", 200_948.0)],
    ..licensed(&SET_32M, |options| SET_32M.load(options))
};

const SET_CSV: RatingSet = RatingSet {
    source: SourceFolder {
        name: "movielens-csv",
        get: "a table of your own; its columns are named by user_column, item_column and rating_column",
        ..MOVIELENS.source
    },
    columns: [HEADER[0], HEADER[1]],
    duplicates: Duplicates::LastCounts,
    read: |source, options, out| {
        let given = [&options.user_column, &options.item_column, &options.rating_column];
        let mut columns = HEADER;
        for (column, given) in columns.iter_mut().zip(given) {
            *column = given.as_deref().unwrap_or(column);
        }
        by_header(source, columns, None, out)
    },
    ..csv("movielens-csv", "movielens-csv")
};
pub(crate) const CSV: Entry = Entry {
    summary: "any CSV file with a header and columns of users, items and ratings; watch and rating",
    terms: "those of the file",
    takes: &["ratings_file", "cache_dir", "unknown", "user_column", "item_column", "rating_column"],
    ..SET_CSV.entry(|options| SET_CSV.load(options))
};

/// Reads lines of user, movie, rating and time, without a header.
fn by_place(
    source: &Source,
    dialect: Dialect,
    most: [u32; 2],
    scale: Scale,
    out: &mut Collector,
) -> Result<(), DataError> {
    let mut fields = source.records(dialect)?.with_columns(&["user", "movie", "rating", "time"]);
    while fields.read()? {
        let user = out.users.number(fields.id(0, most[0])?);
        let movie = out.items.number(fields.id(1, most[1])?);
        out.push(user, movie, fields.number(2, &scale)?, fields.lines().line());
    }
    if out.len() == 0 { Err(fields.empty()) } else { Ok(()) }
}

/// Reads lines with at least these columns, user, item and rating, which a header names. With a scale, users and items
/// are numbers; without one they are texts, and ratings any numbers.
fn by_header(
    source: &Source,
    columns: [&str; 3],
    scale: Option<Scale>,
    out: &mut Collector,
) -> Result<(), DataError> {
    let mut fields = source.records(Dialect::QUOTED_COMMAS)?;
    let places = fields.header(&columns)?;
    while fields.read()? {
        let id = |place| match scale {
            Some(_) => fields.id(place, ANY_ID),
            None => fields.name(place),
        };
        let user = out.users.number(id(places[0])?);
        let item = out.items.number(id(places[1])?);
        let rating = fields.number(places[2], &scale.unwrap_or(Scale::ANY))?;
        out.push(user, item, rating, fields.lines().line());
    }
    if out.len() == 0 { Err(fields.empty()) } else { Ok(()) }
}
