//! From ratings to COMET's two tasks: was an item watched, and if so, how was it rated? (Ibrahim and others, "COMET:
//! learning cardinality constrained mixture of experts with trees and local search", 2023, supplement S1.)
//!
//! Rows are the ratings in file order, then the drawn pairs ([`negatives`]) in the order of users. Tasks: `watch`,
//! binary, 1 for the former and 0 for the latter; `rating`, regression, present where there is a rating. First
//! `test_share` of the rows are drawn for testing, then `val_share` of the rest for validation, both in proportion to
//! `watch`.

use moe_core::batch::TaskKind;

use crate::dataset::dataset::Dataset;
use crate::dataset::split;
use crate::dataset::table::{Column, Features, Table};
use crate::error::DataError;
use crate::features::schema::{FeatureSchema, IdFeature, Unknown};
use crate::features::vocabulary::Vocabulary;
use crate::options::LoadOptions;
use crate::ratings::negatives;
use crate::ratings::ratings::Ratings;

/// The most rows: 4 GB of columns.
const MOST_ROWS: usize = 1 << 28;

/// Rows of both tasks and the split that each belongs to.
#[derive(Debug, PartialEq)]
pub(crate) struct Prepared {
    pub(crate) users: Vec<u32>,
    pub(crate) items: Vec<u32>,
    /// Ratings of the first rows, the watched ones; NaN where there is none.
    pub(crate) values: Vec<f32>,
    /// 0, 1 and 2 for train, validation and test.
    pub(crate) splits: Vec<u8>,
    pub(crate) user_names: Vocabulary,
    pub(crate) item_names: Vocabulary,
}

impl Prepared {
    pub(crate) fn new(
        dataset: &'static str,
        ratings: Ratings,
        options: &LoadOptions,
    ) -> Result<Self, DataError> {
        let per_rating = options.negatives.unwrap_or_default();
        let [test_share, val_share] = options.shares(dataset)?;
        let watched = ratings.len();
        let rows = watched.saturating_add(negatives::count(&ratings, per_rating));
        if rows > MOST_ROWS {
            return Err(DataError::BadOption {
                dataset,
                option: "negatives",
                value: per_rating.to_string(),
                allowed: format!("a number that gives at most {MOST_ROWS} rows, not {rows}"),
            });
        }
        let drawn = negatives::sample(&ratings, per_rating, options.seed);
        let Ratings { mut users, mut items, values, user_names, item_names } = ratings;
        users.extend(&drawn.users);
        items.extend(&drawn.items);
        drop(drawn);

        let class = |row: u32| usize::from((row as usize) < watched);
        let cut = |rows, share, purpose| {
            split::cut_stratified(rows, 2, class, share, options.seed, purpose)
        };
        let [rest, test] = cut((0..rows as u32).collect(), test_share, "ratings test");
        let [_, val] = cut(rest, val_share, "ratings val");
        let mut splits = vec![0; rows];
        val.iter().for_each(|&row| splits[row as usize] = 1);
        test.iter().for_each(|&row| splits[row as usize] = 2);
        Ok(Prepared { users, items, values, splits, user_names, item_names })
    }

    /// Returns whether the columns fit together; those from a file may not.
    pub(crate) fn fits(&self) -> bool {
        let rows = self.splits.len();
        let below = |ids: &[u32], names: &Vocabulary| {
            ids.len() == rows && ids.iter().all(|&id| (id as usize) < names.len())
        };
        self.values.len() <= rows
            && below(&self.users, &self.user_names)
            && below(&self.items, &self.item_names)
            && self.splits.iter().all(|&split| split < 3)
    }

    pub(crate) fn into_dataset(
        self,
        dataset: &'static str,
        [user, item]: [&str; 2],
        unknown: Option<Unknown>,
    ) -> Result<Dataset, DataError> {
        let Prepared { mut users, mut items, mut values, splits, user_names, item_names } = self;
        let mut sizes = [0; 3];
        splits.iter().for_each(|&split| sizes[usize::from(split)] += 1);
        let mut rows = sizes.map(Vec::with_capacity);
        (0..).zip(&splits).for_each(|(row, &split)| rows[usize::from(split)].push(row));
        let mut watch = vec![1; values.len()];
        watch.resize(splits.len(), 0);
        values.resize(splits.len(), f32::NAN);
        drop(splits);
        let schema = FeatureSchema {
            ids: vec![
                IdFeature::of(user, user_names, unknown, &mut users, &rows[0]),
                IdFeature::of(item, item_names, unknown, &mut items, &rows[0]),
            ],
            ..FeatureSchema::default()
        };
        let watch = ("watch", TaskKind::binary(), Column::Flags(watch));
        let rating = ("rating", TaskKind::regression(), Column::Values(values));
        let features = Features::ids(vec![users, items]);
        let table = Table::new(schema.input(), features, [watch, rating]);
        Ok(Dataset::new(dataset, table, rows)?.with_schema(schema))
    }
}
