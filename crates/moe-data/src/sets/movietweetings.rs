//! MovieTweetings: ratings of movies from 0 to 10, gathered from tweets (Dooms, De Pessemier and Martens 2013).
//!
//! Lines `user::movie::rating::time`; a movie is its number at IMDb, with leading zeros. If a user rates a movie again, the
//! last line counts. A sample of 8,000 ratings is embedded; it is used unless the folder `movietweetings` in the data
//! directory holds ratings or `ratings_file` names a file.

use crate::catalog::download::Download;
use crate::catalog::entry::Entry;
use crate::error::DataError;
use crate::formats::dialect::Dialect;
use crate::formats::typed_fields::Scale;
use crate::ratings::rating_set::RatingSet;
use crate::ratings::ratings::{Collector, Duplicates};
use crate::ratings::source::Source;
use crate::source_folder::SourceFolder;

const SET: RatingSet = RatingSet {
    id: "movietweetings",
    source: SourceFolder {
        name: "movietweetings",
        files: "ratings.dat (or ratings.dat.gz, or one other file ratings*.dat)",
        get: "https://github.com/sidooms/MovieTweetings",
    },
    names: &["ratings.dat"],
    stem: "ratings",
    embedded: Some(("ratings-8000.dat", include_bytes!("../../data/movietweetings-8000.dat.gz"))),
    columns: ["user", "movie"],
    duplicates: Duplicates::LastCounts,
    read: |source, _, out| read(source, out),
};
pub(crate) const ENTRY: Entry = Entry {
    summary: "movies rated from 0 to 10 in tweets, a sample of 8,000 unless the folder movietweetings has ratings.dat; \
              watch and rating",
    terms: "MIT; copyright 2013 Simon Dooms, Ghent University",
    downloads: &[Download::file(
        "https://raw.githubusercontent.com/sidooms/MovieTweetings/master/latest/ratings.dat",
        None,
    )],
    ..SET.entry(|options| SET.load(options))
};

const SCALE: Scale = Scale { least: 0.0, most: 10.0, step: 1.0 };

fn read(source: &Source, out: &mut Collector) -> Result<(), DataError> {
    let columns = ["user", "movie", "rating", "time"];
    let mut fields = source.records(Dialect::COLONS)?.with_columns(&columns);
    while fields.read()? {
        let user = out.users.number(fields.id(0, u32::MAX)?);
        let movie = fields.name(1)?;
        if !movie.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(fields.wrong(1, "is not a number of IMDb", "digits"));
        }
        let movie = out.items.number(movie);
        out.push(user, movie, fields.number(2, &SCALE)?, fields.lines().line());
    }
    if out.len() == 0 { Err(fields.empty()) } else { Ok(()) }
}
