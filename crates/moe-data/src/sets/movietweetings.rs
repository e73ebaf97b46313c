//! MovieTweetings: ratings of movies, 0 to 10, gathered from tweets (Dooms, De Pessemier and Martens 2013).
//!
//! Lines `user::movie::rating::time`; a movie is its number at IMDb, with zeros in front. If a user rates a movie again,
//! the last line counts. A sample of 8,000 ratings is embedded; it is used unless the folder `movietweetings` in the
//! data directory holds ratings or `ratings_file` names some.

use crate::error::DataError;
use crate::formats::dialect::Dialect;
use crate::formats::record::Scale;
use crate::ratings::rating_set::{DEFAULTS, RatingSet, Source, TAKES};
use crate::ratings::ratings::{Collector, Duplicates};

pub(crate) static SET: RatingSet = RatingSet {
    id: "movietweetings",
    summary: "movies rated from 0 to 10 in tweets, a sample of 8,000 unless the folder movietweetings has ratings.dat; \
              watch and rating",
    terms: "MIT; copyright 2013 Simon Dooms, Ghent University",
    folder: "movietweetings",
    names: &["ratings.dat"],
    stem: "ratings",
    files: "ratings.dat (or ratings.dat.gz, or one other file ratings*.dat)",
    get: "https://github.com/sidooms/MovieTweetings",
    embedded: Some(("ratings-8000.dat", include_bytes!("../../data/movietweetings-8000.dat.gz"))),
    item: "movie",
    duplicates: Duplicates::LastCounts,
    defaults: DEFAULTS,
    takes: TAKES,
    read: |source, _, out| read(source, out),
};

const SCALE: Scale = Scale { least: 0.0, most: 10.0, step: 1.0 };

fn read(source: &Source, out: &mut Collector) -> Result<(), DataError> {
    let mut fields = source.fields(Dialect::COLONS, &["user", "movie", "rating", "time"])?;
    while let Some(record) = fields.next()? {
        let user = out.users.number(record.id(0, u32::MAX)?);
        let movie = record.text(1)?;
        if !movie.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(record.wrong(1, "is not a number of IMDb", "digits".into()));
        }
        let movie = out.items.number(movie);
        out.push(user, movie, record.number(2, &SCALE)?, record.line());
    }
    if out.len() == 0 { Err(fields.empty()) } else { Ok(()) }
}
