//! MovieLens 1M as COMET uses it (Ibrahim and others, "COMET: learning cardinality constrained mixture of experts with
//! trees and local search", 2023): did a user watch a movie, and if so, how was it rated?
//!
//! A file has lines `user,movie,watch,rating` without a header; plain or gzip. `user` is below 6,040, `movie` below 3,952
//! (the MovieLens ids minus 1), `watch` 0 or 1, `rating` 1 to 5 where `watch` is 1 and 0 elsewhere. Tasks: `watch`, binary,
//! on all rows; `rating`, regression, present where it is not 0.
//!
//! The folder `movielens-1m-mtl` holds either
//! * `train`, `val` and `test` (each `.csv.gz` or, if there is none, `.csv`), which are then the splits, or
//! * `val` alone: row i in file order goes to train if i mod 10 is 0 to 7, to validation if it is 8, to test if it is 9.
//!
//! The option `test_file` replaces the test split. Nothing is drawn, so the seed has no effect. Row ids count through the
//! files in the order train, val, test (file), each in file order.

use std::path::Path;

use moe_core::batch::{IdColumn, InputSpec, TaskKind};

use crate::catalog::entry::Entry;
use crate::dataset::dataset::Dataset;
use crate::dataset::table::{Column, Features, Table};
use crate::error::DataError;
use crate::formats::delimited::Delimited;
use crate::formats::dialect::Dialect;
use crate::options::LoadOptions;
use crate::source_folder::{SourceFolder, packed_or_plain};

const ID: &str = "movielens-1m-mtl";
pub(crate) const ENTRY: Entry = Entry {
    id: ID,
    summary: "MovieLens 1M with COMET's two tasks, watch and rating",
    origin: SOURCE.origin(),
    terms: "MovieLens 1M licence: research use, no redistribution without permission, no commercial use; GroupLens, \
            University of Minnesota",
    facts: &[
        ("rows", 1_999_496.0),
        ("watch.1", 1_000_209.0),
        ("ids.user", 6040.0),
        ("ids.movie", 3706.0),
    ],
    takes: &["test_file"],
    load,
    ..Entry::NEW
};
const SOURCE: SourceFolder = SourceFolder {
    name: ID,
    files: "val.csv.gz alone, or train.csv.gz, val.csv.gz and test.csv.gz (or .csv)",
    get: "the official COMET preprocessing of MovieLens 1M (mazumder-lab/COMET on GitHub, \
          data/datasets/movielens), the features and targets of each split joined line by line",
};

const NAMES: &[&str] = &["user", "movie", "watch", "rating"];
const USERS: usize = 6040;
const MOVIES: usize = 3952;
const BEST: u32 = 5;

/// The columns of one or several files.
#[derive(Default)]
struct Watches {
    users: Vec<u32>,
    movies: Vec<u32>,
    watch: Vec<u8>,
    /// NaN where the movie was not watched.
    rating: Vec<f32>,
}

impl Watches {
    /// Appends a file's rows and returns their ids.
    fn append(&mut self, path: &Path) -> Result<Vec<u32>, DataError> {
        let first = self.watch.len();
        let mut fields = Delimited::open(path, Dialect::PLAIN)?.with_columns(NAMES);
        while fields.read()? {
            let user = fields.whole(0, USERS as u32 - 1)?;
            let movie = fields.whole(1, MOVIES as u32 - 1)?;
            let watch = fields.whole(2, 1)?;
            let rating = fields.whole(3, BEST)?;
            if (watch == 1) != (rating != 0) {
                let allowed = format!("1 to {BEST} where watch is 1, 0 where watch is 0");
                return Err(fields.wrong(3, &format!("contradicts watch = {watch}"), allowed));
            }
            self.users.push(user);
            self.movies.push(movie);
            self.watch.push(watch as u8);
            self.rating.push(if watch == 1 { rating as f32 } else { f32::NAN });
        }
        if self.watch.len() == first {
            return Err(fields.empty());
        }
        Ok((first as u32..self.watch.len() as u32).collect())
    }

    fn into_table(self) -> Table {
        let column = |name: &str, vocabulary| IdColumn { name: name.to_owned(), vocabulary };
        let columns = vec![column("user", USERS), column("movie", MOVIES)];
        let features = Features::ids(vec![self.users, self.movies]);
        let watch = ("watch", TaskKind::binary(), Column::Flags(self.watch));
        let rating = ("rating", TaskKind::regression(), Column::Values(self.rating));
        Table::new(InputSpec::ids(columns), features, [watch, rating])
    }
}

fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let folder = SOURCE.path(ID, options)?;
    let given = options.test_file.as_deref();
    let [train_file, val_file, test_file] =
        ["train.csv", "val.csv", "test.csv"].map(|name| packed_or_plain(&folder, name));
    let missing = |file: &str| SOURCE.missing(ID, &folder, file);
    let val_file = val_file.ok_or_else(|| missing("val.csv.gz"))?;

    let mut rows = Watches::default();
    let splits = match (train_file, test_file) {
        (None, None) => {
            let all = rows.append(&val_file)?;
            let [train, val, tenth] = by_index(&all);
            let test = given.map_or(Ok(tenth), |file| rows.append(file))?;
            [train, val, test]
        }
        (None, Some(_)) => return Err(missing("train.csv.gz (there is test.csv.gz)")),
        (Some(train_file), test_file) => {
            let test_file = given.map(Path::to_path_buf).or(test_file);
            let test_file =
                test_file.ok_or_else(|| missing("test.csv.gz (there is train.csv.gz)"))?;
            let train = rows.append(&train_file)?;
            [train, rows.append(&val_file)?, rows.append(&test_file)?]
        }
    };
    Dataset::new(ID, rows.into_table(), splits)
}

/// The first eight, the ninth and the tenth of every ten rows.
fn by_index(rows: &[u32]) -> [Vec<u32>; 3] {
    let mut splits = [const { Vec::new() }; 3];
    for (index, &row) in rows.iter().enumerate() {
        let split = match index % 10 {
            0..=7 => 0,
            8 => 1,
            _ => 2,
        };
        splits[split].push(row);
    }
    splits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residues_choose_the_split() {
        let rows: Vec<u32> = (100..123).collect();
        let [train, val, test] = by_index(&rows);
        assert_eq!((train.len(), val.len(), test.len()), (19, 2, 2));
        assert_eq!((val, test), (vec![108, 118], vec![109, 119]));
        assert_eq!(train[7..10], [107, 110, 111]);
    }
}
