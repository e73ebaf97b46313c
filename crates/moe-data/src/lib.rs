//! Data sets for mixtures of experts, as [`Batch`](moe_core::batch::Batch)es for any model.
//!
//! Some sets are embedded in the crate or generated, so everything runs without a download; others are read from the files
//! of their original distribution.
//!
//! | id | source | input | tasks |
//! | --- | --- | --- | --- |
//! | `optdigits` | embedded | dense, 64 | `digit`: multiclass(10) |
//! | `multi-optdigits` | from `optdigits` | dense, 144 | `left`, `right`: multiclass(10) |
//! | `domain-optdigits` | from `optdigits` | dense, 64 | `digit`: multiclass(10), with the domain of each row |
//! | `restaurant` | embedded | ids user, place | `rating`, `food_rating`, `service_rating`: regression |
//! | `synthetic` | generated | dense, any width | `y`: regression, with the planted expert of each row |
//! | `movielens-1m-mtl` | files | ids user, movie | `watch`: binary; `rating`: regression, where watched |
//! | `movielens-100k`, `-1m`, `-10m`, `-20m`, `-25m`, `-32m`, `-latest-small` | files | ids user, movie | the same |
//! | `movielens-csv` | any CSV file | ids, by the names of its columns | the same |
//! | `jester` | files | ids user, joke | the same |
//! | `book-crossing` | files | ids user, book | the same; a book may be read without a rating |
//! | `movietweetings` | embedded sample, or files | ids user, movie | the same |
//! | `mnist`, `fashion-mnist` | files | dense, 784 | `digit` or `article`: multiclass(10) |
//! | `multi-mnist`, `multi-fashion-mnist` | from these | dense, 1,296 | `left`, `right`: multiclass(10) |
//! | `usps` | files | dense, 256 | `digit`: multiclass(10) |
//! | `svhn` | files | dense, 3,072 | `digit`: multiclass(10) |
//! | `celeba` (feature `celeba`) | files | dense, 3,072 | ten attributes: binary |
//! | `table` | any CSV file, or Parquet (feature `parquet`) | ids, numbers, categories | as described |
//! | `digits` | from `mnist` and `svhn` (or `usps`) | dense, 1,024 | `digit`: multiclass(10) |
//!
//! ```
//! use moe_core::batch::BatchSource;
//! use moe_data::LoadOptions;
//!
//! let options = LoadOptions { seed: 1, ..LoadOptions::default() };
//! let data = moe_data::load("multi-optdigits", &options)?;
//! assert_eq!([data.train.rows(), data.val.rows(), data.test.rows()], [8000, 2000, 2000]);
//!
//! let batch = data.train.batch(&[0, 17, 4]);
//! assert_eq!(batch.rows(), 3);
//! let left = &batch.targets[0].classes;
//! assert!(left.iter().all(|&digit| digit < 10));
//! # Ok::<(), moe_data::DataError>(())
//! ```
//!
//! # Map
//! * [`load`], [`find`], [`catalog`]: data sets by id.
//! * [`LoadOptions`]: the seed, the location of files, and the sizes of generated sets.
//! * [`Split::groups`]: the planted group of each row of a set that has them ([`Entry::groups`]), which models do not see.
//! * [`Dataset`] and [`Split`]: the loaded data; a split is a [`BatchSource`](moe_core::batch::BatchSource) over columns
//!   that the three splits share.
//! * [`FeatureSchema`]: the encoding of raw rows as inputs, to be saved beside a model; [`RowEncoder`] applies it, and
//!   [`RowReader`] reads raw rows from CSV or JSON lines.
//! * [`TableOptions`]: the meaning of the columns of your own table.
//! * [`Stats`]: statistics of a set; [`Entry::facts`] and [`Entry::check_files`]: comparison with the original.
//! * `Entry::fetch` (feature `download`): downloads files from where they are published.
//! * [`Vocabulary`]: the original names of ids, returned by [`Dataset::vocabulary`].
//! * [`DataError`]: errors, with file, line and column.
//!
//! Each file of `sets/` holds a data set with everything known of it: title, terms, addresses, sums, facts, format and
//! preparation. This crate knows no model.
//!
//! # From ratings to tasks
//! Sets of ratings become two tasks as in COMET: each rated pair of user and item is a row with `watch` 1 and its rating;
//! for each of them one pair is drawn that the same user has not rated (option `negatives`), with `watch` 0 and no rating.
//! A user who has rated more than half of the items gets all the others. Users and items are numbered without gaps in the
//! order of their first appearance. A tenth of the rows are drawn for testing (`test_share`), then an eighth of the rest
//! for validation (`val_share`), both rounded up and in proportion to `watch`. A model of such a set knows all its users
//! and items and no others (`unknown = "refuse"`, the default for every set and table); with `unknown = "shared"` it knows those
//! of the train split, and all others share the last id.
//!
//! Prepared ratings are cached in a checked file `ID.prepared`: in the folder `cache_dir`; without that option, beside the
//! ratings; if that folder is read-only, in `moe/prepared` in the user's cache folder (`XDG_CACHE_HOME` or `~/.cache`).
//! The cache is rebuilt if the options or the files change. A file is unchanged if its path, length and modification time
//! are the same (and it had not been modified in the two seconds before it was read), or else if its length and SHA-256
//! are. `cache = false` turns the cache off. Of several processes that want the same set, one prepares it and the others wait.
//! A cache that cannot be written is a warning.
//!
//! # Your own table
//! ```
//! use moe_core::batch::BatchSource;
//! use moe_data::{LoadOptions, TableOptions};
//!
//! let dir = std::env::temp_dir().join("moe-data-doc");
//! std::fs::create_dir_all(&dir)?;
//! let row = |i: usize| format!("u{},{},{}\n", i % 7, 20 + i, i % 2);
//! let rows: String = (0..40).map(row).collect();
//! std::fs::write(dir.join("people.csv"), format!("user,age,bought\n{rows}"))?;
//!
//! let table: TableOptions = serde_json::from_str(
//!     r#"{"file": "people.csv", "ids": ["user"], "numbers": ["age"],
//!         "unknown": "shared", "targets": [{"column": "bought", "kind": "binary"}]}"#,
//! )?;
//! let table = TableOptions { file: dir.join("people.csv"), ..table };
//! let data = moe_data::load("table", &LoadOptions { table: Some(table), ..Default::default() })?;
//! assert_eq!(data.train.rows(), 31);
//! let encoder = data.schema().expect("a table has one").encoder();
//! encoder.encode(&[["u3", "33"], ["somebody new", ""]])?;
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! In a configuration of `moe`, the same options are in `[dataset.table]`.
//!
//! A row whose field of a target is missing (`missing`: an empty field, `NA` or `null` unless the table says otherwise) has no
//! target for that task: it counts in no loss and no metric of the task, and in those of the others. A target without any
//! label, or with the same one in all rows, is refused; where that is so in one split, `tracing` gets a warning. Numbers must
//! fit into single precision, and targets be from -1e15 to 1e15, since errors are squared.
//!
//! # Same seed, same rows
//! Splits and generated rows come from the ChaCha8 and Philox streams of [`moe_core::random`], each named after its
//! purpose. They depend on the seed and the sizes, never on threads; both precisions see the same numbers.
//!
//! # Credits
//! Two embedded sets are licensed under CC BY 4.0 (<https://creativecommons.org/licenses/by/4.0/>) and come from the UCI
//! Machine Learning Repository (<https://archive.ics.uci.edu>):
//! * Optical Recognition of Handwritten Digits, by E. Alpaydin and C. Kaynak; packed with gzip, otherwise unchanged.
//!   `multi-optdigits` is derived from it.
//! * Restaurant & Consumer Data, by R. Vargas-Govea, G. Gonzalez-Serna and R. Ponce-Medellin; the file `rating_final.csv`.
//!
//! The third is a sample of MovieTweetings, copyright 2013 Simon Dooms, Ghent University, under the MIT licence, whose text
//! is in the crate's `data/README.md`.

mod catalog;
mod data_dir;
mod dataset;
mod error;
mod features;
mod formats;
mod named_file;
mod options;
mod pictures;
mod ratings;
mod sets;
mod source_folder;

pub use catalog::catalog::{catalog, find, load};
pub use catalog::download::Download;
pub use catalog::entry::{Entry, Origin};
#[cfg(feature = "download")]
pub use catalog::fetch::{FetchError, FetchOptions, FetchProgress};
pub use data_dir::data_dir;
pub use dataset::dataset::{Dataset, Split};
pub use dataset::stats::{Stats, TaskStats};
pub use error::DataError;
pub use features::row_encoder::{EncodedRows, RowEncoder};
pub use features::schema::{CategoryFeature, FeatureSchema, IdFeature, NumberFeature, Unknown};
pub use features::table_options::{Scaling, Separator, TableOptions, TargetColumn, TargetKind};
pub use features::vocabulary::Vocabulary;
pub use formats::raw_field::RawField;
pub use formats::row_reader::{RowFormat, RowReader};
pub use options::{LoadOptions, NamedOptions};
