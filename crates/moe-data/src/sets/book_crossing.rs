//! Book-Crossing: ratings of books from 1 to 10, and books that users had without rating them (Ziegler and others 2005).
//!
//! `BX-Book-Ratings.csv` in ISO-8859-1: a header and lines `"User-ID";"ISBN";"Book-Rating"`, with Unix or Windows line
//! ends. A rating of 0 is implicit: the book counts as read (`watch` is 1) and has no target in the task `rating`. An ISBN
//! is any text, without blanks around it; if a pair occurs again, the last line counts.
//!
//! As in COMET's set-up, users and books need at least five records (`min_ratings`), including implicit ones, counted
//! once in the whole file.

use crate::catalog::download::Download;
use crate::catalog::entry::Entry;
use crate::error::DataError;
use crate::formats::dialect::Dialect;
use crate::formats::typed_fields::Scale;
use crate::options::LoadOptions;
use crate::ratings::rating_set;
use crate::ratings::rating_set::RatingSet;
use crate::ratings::ratings::{Collector, Duplicates};
use crate::ratings::source::Source;
use crate::source_folder::SourceFolder;

const SET: RatingSet = RatingSet {
    id: "book-crossing",
    source: SourceFolder {
        name: "book-crossing",
        files: "BX-Book-Ratings.csv (or with .gz, or one other file BX-Book-Ratings*.csv)",
        get: "http://www2.informatik.uni-freiburg.de/~cziegler/BX/ (BX-CSV-Dump)",
    },
    names: &["BX-Book-Ratings.csv"],
    stem: "BX-Book-Ratings",
    embedded: None,
    columns: ["user", "book"],
    duplicates: Duplicates::LastCounts,
    read: |source, _, out| read(source, out),
};
pub(crate) const ENTRY: Entry = Entry {
    summary: "books rated from 1 to 10 or read without a rating; watch (was it read?) and rating",
    terms: "free for research use with acknowledgement; Cai-Nicolas Ziegler and others, WWW 2005",
    must_accept: true,
    downloads: &[Download::member(
        "http://www2.informatik.uni-freiburg.de/~cziegler/BX/BX-CSV-Dump.zip",
        None,
        "BX-Book-Ratings.csv",
    )],
    defaults: || LoadOptions { min_ratings: Some(5), ..rating_set::defaults() },
    ..SET.entry(|options| SET.load(options))
};

const SCALE: Scale = Scale { least: 0.0, most: 10.0, step: 1.0 };
const IMPLICIT: f32 = 0.0;

fn read(source: &Source, out: &mut Collector) -> Result<(), DataError> {
    let columns = ["User-ID", "ISBN", "Book-Rating"];
    let mut fields = source.records(Dialect::ESCAPED_SEMICOLONS)?.with_columns(&columns);
    fields.skip_header()?;
    let mut isbn = String::new();
    while fields.read()? {
        let user = out.users.number(fields.id(0, u32::MAX)?);
        let bytes = fields.trimmed(1);
        if bytes.is_empty() {
            return Err(fields.wrong(1, "is empty", "an ISBN"));
        }
        isbn.clear();
        // The first 256 characters of Unicode are those of ISO-8859-1.
        isbn.extend(bytes.iter().map(|&byte| char::from(byte)));
        let book = out.items.number(&isbn);
        let rating = fields.number(2, &SCALE)?;
        let rating = if rating == IMPLICIT { f32::NAN } else { rating };
        out.push(user, book, rating, fields.lines().line());
    }
    if out.len() == 0 { Err(fields.empty()) } else { Ok(()) }
}
