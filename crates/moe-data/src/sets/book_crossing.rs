//! Book-Crossing: ratings of books, 1 to 10, and books that users had without saying how they were (Ziegler and others
//! 2005).
//!
//! `BX-Book-Ratings.csv` in ISO-8859-1: a header and lines `"User-ID";"ISBN";"Book-Rating"`, with a line feed or both
//! line ends. A rating of 0 is implicit: the book counts as read (`watch` is 1) and takes no part in the task
//! `rating`. An ISBN is any text, without blanks around it; if a pair occurs again, the last line counts.
//!
//! As in COMET's set-up, users and books need at least five records (`min_ratings`), implicit ones included, counted
//! once in the whole file.

use crate::error::DataError;
use crate::formats::dialect::Dialect;
use crate::formats::record::Scale;
use crate::options::LoadOptions;
use crate::ratings::rating_set::{DEFAULTS, RatingSet, Source, TAKES};
use crate::ratings::ratings::{Collector, Duplicates};

pub(crate) static SET: RatingSet = RatingSet {
    id: "book-crossing",
    summary: "books rated from 1 to 10 or read without a rating; watch (was it read?) and rating",
    terms: "free for research use with acknowledgement; Cai-Nicolas Ziegler and others, WWW 2005",
    folder: "book-crossing",
    names: &["BX-Book-Ratings.csv"],
    stem: "BX-Book-Ratings",
    files: "BX-Book-Ratings.csv (or with .gz, or one other file BX-Book-Ratings*.csv)",
    get: "http://www2.informatik.uni-freiburg.de/~cziegler/BX/ (BX-CSV-Dump)",
    embedded: None,
    item: "book",
    duplicates: Duplicates::LastCounts,
    defaults: LoadOptions { min_ratings: Some(5), ..DEFAULTS },
    takes: TAKES,
    read: |source, _, out| read(source, out),
};

const SCALE: Scale = Scale { least: 0.0, most: 10.0, step: 1.0 };
const IMPLICIT: f32 = 0.0;

fn read(source: &Source, out: &mut Collector) -> Result<(), DataError> {
    let mut fields =
        source.fields(Dialect::ESCAPED_SEMICOLONS, &["User-ID", "ISBN", "Book-Rating"])?;
    fields.skip_header()?;
    let mut isbn = String::new();
    while let Some(record) = fields.next()? {
        let user = out.users.number(record.id(0, u32::MAX)?);
        if record.bytes(1).is_empty() {
            return Err(record.wrong(1, "is empty", "an ISBN".into()));
        }
        isbn.clear();
        // The first 256 characters of Unicode are those of ISO-8859-1.
        isbn.extend(record.bytes(1).iter().map(|&byte| char::from(byte)));
        let book = out.items.number(&isbn);
        let rating = record.number(2, &SCALE)?;
        let rating = if rating == IMPLICIT { f32::NAN } else { rating };
        out.push(user, book, rating, record.line());
    }
    if out.len() == 0 { Err(fields.empty()) } else { Ok(()) }
}
