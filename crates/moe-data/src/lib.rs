//! Data sets for mixtures of experts, as [`Batch`](moe_core::batch::Batch)es that any model can take.
//!
//! Three sets travel inside the crate or are generated, so that everything runs without a download;
//! others are read from the files of their original distribution.
//!
//! | id | is | input | tasks |
//! | --- | --- | --- | --- |
//! | `optdigits` | embedded | dense, 64 | `digit`: multiclass(10) |
//! | `multi-optdigits` | made from `optdigits` | dense, 144 | `left`, `right`: multiclass(10) |
//! | `restaurant` | embedded | ids user, place | `rating`, `food_rating`, `service_rating`: regression |
//! | `synthetic` | generated | dense, any width | `y`: regression, with the planted expert of each row |
//! | `movielens-1m-mtl` | files | ids user, movie | `watch`: binary; `rating`: regression, where watched |
//!
//! ```
//! use moe_core::batch::{BatchSource, Target};
//! use moe_data::LoadOptions;
//!
//! let options = LoadOptions { seed: 1, ..LoadOptions::default() };
//! let data = moe_data::load("multi-optdigits", &options)?;
//! assert_eq!([data.train.rows(), data.val.rows(), data.test.rows()], [8000, 2000, 2000]);
//!
//! let batch = data.train.batch(&[0, 17, 4]);
//! assert_eq!(batch.rows(), 3);
//! let Target::Multiclass(left) = &batch.targets[0] else { unreachable!() };
//! assert!(left.iter().all(|&digit| digit < 10));
//! # Ok::<(), moe_data::DataError>(())
//! ```
//!
//! # Map
//! * [`load`], [`find`], [`catalog`]: the sets as a table of values, and the way from an id to the data.
//! * [`LoadOptions`]: the seed, where files are, and the sizes of sets that are made on the spot.
//! * [`Dataset`] and [`Split`]: what comes out; a split is a
//!   [`BatchSource`](moe_core::batch::BatchSource) over columns that the three parts share.
//! * [`DataError`]: what can be wrong, with file, line and column.
//!
//! One file per data set holds its format and its making. This crate knows no model.
//!
//! # Same seed, same rows
//! Splits and generated rows come from the ChaCha8 and Philox streams of [`moe_core::random`], each
//! named after its use. They depend on the seed and the sizes asked for, never on threads; both
//! precisions see the same numbers.
//!
//! # Credits
//! Both embedded sets are licensed under CC BY 4.0 (<https://creativecommons.org/licenses/by/4.0/>) and
//! come from the UCI Machine Learning Repository (<https://archive.ics.uci.edu>):
//! * Optical Recognition of Handwritten Digits, by E. Alpaydin and C. Kaynak; packed with gzip, otherwise
//!   unchanged. `multi-optdigits` is derived from it.
//! * Restaurant & Consumer Data, by R. Vargas-Govea, G. Gonzalez-Serna and R. Ponce-Medellin; the file
//!   `rating_final.csv`.

mod capped;
mod catalog;
mod data_dir;
mod dataset;
mod error;
mod fields;
mod movielens_mtl;
mod multi_optdigits;
mod optdigits;
mod options;
mod restaurant;
mod split;
mod synthetic;
mod table;

pub use catalog::{Entry, Origin, catalog, find, load};
pub use data_dir::data_dir;
pub use dataset::{Dataset, Split};
pub use error::DataError;
pub use options::LoadOptions;
