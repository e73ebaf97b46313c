use std::fmt::Display;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::features::schema::Unknown;
use crate::features::table_options::TableOptions;

/// How to load a data set: the seed, where its files are, and sizes of sets that are made on the spot.
///
/// An option that does not apply to the chosen set is an error; `seed` and `data_dir` are accepted by
/// every set, also by those that draw nothing or read no file.
///
/// ```
/// use moe_data::LoadOptions;
///
/// let options = LoadOptions { experts: Some(4), ..LoadOptions::default() };
/// let data = moe_data::load("synthetic", &options)?;
/// assert!(data.planted().is_some());
///
/// let error = moe_data::load("optdigits", &options).unwrap_err();
/// assert!(error.to_string().contains("`experts` does not apply"));
/// # Ok::<(), moe_data::DataError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadOptions {
    /// Seed of the split and of everything that is drawn.
    pub seed: u64,

    /// Folder that holds one folder per data set; see [`data_dir`](crate::data_dir()) for what stands in
    /// for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,

    /// A file that takes the place of the set's own test part (`movielens-1m-mtl`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_file: Option<PathBuf>,

    /// The file with the ratings, in place of the set's own (sets of ratings). It is looked for in the set's folder,
    /// then from the working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratings_file: Option<PathBuf>,

    /// Name of the column with the user (`movielens-csv`; without it `userId`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_column: Option<String>,

    /// Name of the column with the item (`movielens-csv`; without it `movieId`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_column: Option<String>,

    /// Name of the column with the rating (`movielens-csv`; without it `rating`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating_column: Option<String>,

    /// Ratings that a user and an item must have in the file to be used (sets of ratings).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ratings: Option<usize>,

    /// Pairs that were not rated, for each one that was (sets of ratings). A user who has not left so many gets
    /// all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negatives: Option<usize>,

    /// Share of the rows that is the test part (sets of ratings, `table`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_share: Option<f64>,

    /// Share of the other rows that is the validation part (sets of ratings, `table`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_share: Option<f64>,

    /// What becomes of names without a row in the train part: with `refuse`, as without the option, all names of the data
    /// have ids and others are an error; with `shared` they have one in common, the last (sets of ratings, `restaurant`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Unknown>,

    /// Whether the set as it was prepared is kept in a file for the next time (sets of ratings).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<bool>,

    /// Folder for that file. Without it, the one of the ratings, or if nothing may be written there, `prepared` in
    /// the folder `moe` of the user's cache folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_dir: Option<PathBuf>,

    /// Rows of the train part (`multi-optdigits` and the like, `synthetic`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_rows: Option<usize>,

    /// Rows of the validation part (`multi-optdigits` and the like, `synthetic`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_rows: Option<usize>,

    /// Rows of the test part (`multi-optdigits` and the like, `synthetic`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_rows: Option<usize>,

    /// Input width D (`synthetic`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,

    /// Number of planted experts N (`synthetic`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experts: Option<usize>,

    /// Standard deviation of the noise added to the target (`synthetic`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<f64>,

    /// Distance of the planted centroids from the origin, where rows have unit variance around their
    /// centroid; 0 leaves no clusters to see, only the planted gate (`synthetic`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separation: Option<f64>,

    /// The file and what its columns mean (`table`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<TableOptions>,
}

impl LoadOptions {
    /// What [`Default`] gives, for tables of defaults.
    pub(crate) const NONE: LoadOptions = LoadOptions {
        seed: 0,
        data_dir: None,
        test_file: None,
        ratings_file: None,
        user_column: None,
        item_column: None,
        rating_column: None,
        min_ratings: None,
        negatives: None,
        test_share: None,
        val_share: None,
        unknown: None,
        cache: None,
        cache_dir: None,
        train_rows: None,
        val_rows: None,
        test_rows: None,
        width: None,
        experts: None,
        noise: None,
        separation: None,
        table: None,
    };

    /// These options with the gaps filled from `defaults`. The set takes the ones that these have, and those that it
    /// `takes` without a default.
    ///
    /// # Errors
    /// If another option is given.
    pub(crate) fn filled(
        &self,
        dataset: &'static str,
        defaults: &LoadOptions,
        takes: &[&str],
    ) -> Result<LoadOptions, DataError> {
        let rules = Rules { dataset, defaults, takes };
        Ok(LoadOptions {
            seed: self.seed,
            data_dir: self.data_dir.clone(),
            test_file: rules.fill("test_file", &self.test_file, &defaults.test_file)?,
            ratings_file: rules.fill("ratings_file", &self.ratings_file, &defaults.ratings_file)?,
            user_column: rules.fill("user_column", &self.user_column, &defaults.user_column)?,
            item_column: rules.fill("item_column", &self.item_column, &defaults.item_column)?,
            rating_column: rules.fill(
                "rating_column",
                &self.rating_column,
                &defaults.rating_column,
            )?,
            min_ratings: rules.fill("min_ratings", &self.min_ratings, &defaults.min_ratings)?,
            negatives: rules.fill("negatives", &self.negatives, &defaults.negatives)?,
            test_share: rules.fill("test_share", &self.test_share, &defaults.test_share)?,
            val_share: rules.fill("val_share", &self.val_share, &defaults.val_share)?,
            unknown: rules.fill("unknown", &self.unknown, &defaults.unknown)?,
            cache: rules.fill("cache", &self.cache, &defaults.cache)?,
            cache_dir: rules.fill("cache_dir", &self.cache_dir, &defaults.cache_dir)?,
            train_rows: rules.fill("train_rows", &self.train_rows, &defaults.train_rows)?,
            val_rows: rules.fill("val_rows", &self.val_rows, &defaults.val_rows)?,
            test_rows: rules.fill("test_rows", &self.test_rows, &defaults.test_rows)?,
            width: rules.fill("width", &self.width, &defaults.width)?,
            experts: rules.fill("experts", &self.experts, &defaults.experts)?,
            noise: rules.fill("noise", &self.noise, &defaults.noise)?,
            separation: rules.fill("separation", &self.separation, &defaults.separation)?,
            table: rules.fill("table", &self.table, &defaults.table)?,
        })
    }

    /// Names of the options that a set with these defaults takes, with those that it `takes` without a default.
    pub(crate) fn names(&self, takes: &[&str]) -> Vec<&'static str> {
        [
            ("seed", true),
            ("data_dir", true),
            ("test_file", self.test_file.is_some()),
            ("ratings_file", self.ratings_file.is_some()),
            ("user_column", self.user_column.is_some()),
            ("item_column", self.item_column.is_some()),
            ("rating_column", self.rating_column.is_some()),
            ("min_ratings", self.min_ratings.is_some()),
            ("negatives", self.negatives.is_some()),
            ("test_share", self.test_share.is_some()),
            ("val_share", self.val_share.is_some()),
            ("unknown", self.unknown.is_some()),
            ("cache", self.cache.is_some()),
            ("cache_dir", self.cache_dir.is_some()),
            ("train_rows", self.train_rows.is_some()),
            ("val_rows", self.val_rows.is_some()),
            ("test_rows", self.test_rows.is_some()),
            ("width", self.width.is_some()),
            ("experts", self.experts.is_some()),
            ("noise", self.noise.is_some()),
            ("separation", self.separation.is_some()),
            ("table", self.table.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, has_default)| (has_default || takes.contains(&name)).then_some(name))
        .collect()
    }

    /// Rows of the three parts, each at least 1 and at most `most`.
    ///
    /// The set must have defaults for them: an absent number counts as zero and is refused.
    pub(crate) fn part_rows(
        &self,
        dataset: &'static str,
        most: usize,
    ) -> Result<[usize; 3], DataError> {
        Ok([
            in_range(dataset, "train_rows", self.train_rows, 1, most)?,
            in_range(dataset, "val_rows", self.val_rows, 1, most)?,
            in_range(dataset, "test_rows", self.test_rows, 1, most)?,
        ])
    }
}

/// Which options a set takes.
struct Rules<'a> {
    dataset: &'static str,
    defaults: &'a LoadOptions,
    takes: &'a [&'a str],
}

impl Rules<'_> {
    /// What is given, else the default.
    fn fill<T: Clone>(
        &self,
        option: &'static str,
        given: &Option<T>,
        default: &Option<T>,
    ) -> Result<Option<T>, DataError> {
        if given.is_some() && default.is_none() && !self.takes.contains(&option) {
            let allowed = self.defaults.names(self.takes).join(", ");
            return Err(DataError::OptionDoesNotApply { dataset: self.dataset, option, allowed });
        }
        Ok(given.clone().or_else(|| default.clone()))
    }
}

/// The value if it is within `[least, most]`. An absent value counts as its type's zero.
pub(crate) fn in_range<T: PartialOrd + Display + Default>(
    dataset: &'static str,
    option: &'static str,
    value: Option<T>,
    least: T,
    most: T,
) -> Result<T, DataError> {
    let value = value.unwrap_or_default();
    if value >= least && value <= most {
        return Ok(value);
    }
    Err(DataError::BadOption {
        dataset,
        option,
        value: value.to_string(),
        allowed: format!("{least} to {most}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_the_default() {
        assert_eq!(LoadOptions::NONE, LoadOptions::default());
    }

    #[test]
    fn gaps_are_filled_and_given_values_stay() {
        let defaults = LoadOptions { train_rows: Some(10), noise: Some(0.5), ..LoadOptions::NONE };
        let given = LoadOptions { seed: 3, noise: Some(0.0), ..LoadOptions::NONE };
        let filled = given.filled("set", &defaults, &[]).unwrap();
        assert_eq!((filled.seed, filled.train_rows), (3, Some(10)));
        assert_eq!((filled.noise, filled.width), (Some(0.0), None));
    }

    #[test]
    fn a_range_refuses_nan_and_says_what_is_allowed() {
        let error = in_range("set", "noise", Some(f64::NAN), 0.0, 2.0).unwrap_err();
        assert_eq!(error.to_string(), "noise = NaN for the data set set; allowed: 0 to 2");
        assert!(in_range("set", "width", None::<usize>, 1, 5).is_err());
        assert_eq!(in_range("set", "width", Some(5), 1, 5).unwrap(), 5);
    }
}
