use std::fmt::Display;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::features::schema::Unknown;
use crate::features::table_options::TableOptions;

/// Declares [`LoadOptions`] and [`NamedOptions`] from the one list of options: `seed`, and those that may be absent.
macro_rules! load_options {
    ($(#[$about:meta])* pub struct LoadOptions {
        $(#[$seed_about:meta])* pub seed: u64,
        $($(#[$option_about:meta])* pub $option:ident: Option<$type:ty>,)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct LoadOptions {
            $(#[$seed_about])* pub seed: u64,
            $(
                $(#[$option_about])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $option: Option<$type>,
            )*
        }

        /// [`LoadOptions`] and the id of the data set as one table of keys, as in a configuration file: an unknown key is an
        /// error.
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct NamedOptions {
            name: Option<String>,
            seed: u64,
            $($option: Option<$type>,)*
        }

        impl NamedOptions {
            /// The id, if one is given, and the options.
            pub fn into_parts(self) -> (Option<String>, LoadOptions) {
                (self.name, LoadOptions { seed: self.seed, $($option: self.$option,)* })
            }
        }

        impl LoadOptions {
            /// Names of all options, in order.
            pub(crate) const NAMES: &[&str] = &["seed", $(stringify!($option)),*];

            /// Whether each of [`LoadOptions::NAMES`] has a value.
            fn given(&self) -> Vec<bool> {
                vec![true, $(self.$option.is_some()),*]
            }

            /// These options, with gaps filled from `defaults`.
            fn or(self, defaults: &LoadOptions) -> LoadOptions {
                LoadOptions {
                    seed: self.seed,
                    $($option: self.$option.or_else(|| defaults.$option.clone()),)*
                }
            }
        }
    };
}

load_options! {
/// Options for loading a data set: the seed, the location of its files, and the sizes of generated sets.
///
/// An option that does not apply to the chosen set is an error. Every set accepts `seed` and `data_dir`, including those
/// that draw nothing or read no file.
///
/// ```
/// use moe_data::LoadOptions;
///
/// let options = LoadOptions { experts: Some(4), ..LoadOptions::default() };
/// let data = moe_data::load("synthetic", &options)?;
/// assert!(data.groups().is_some());
///
/// let error = moe_data::load("optdigits", &options).unwrap_err();
/// assert!(error.to_string().contains("`experts` does not apply"));
/// # Ok::<(), moe_data::DataError>(())
/// ```
pub struct LoadOptions {
    /// Seed of the splits and of everything that is drawn.
    pub seed: u64,

    /// Folder that holds one folder per data set; [`data_dir`](crate::data_dir()) describes the default.
    pub data_dir: Option<PathBuf>,

    /// File with the rows of the test split, instead of the set's own (`movielens-1m-mtl`).
    pub test_file: Option<PathBuf>,

    /// File with the ratings, instead of the set's own (sets of ratings). It is looked up in the set's folder, then
    /// relative to the working directory.
    pub ratings_file: Option<PathBuf>,

    /// Name of the column of users (`movielens-csv`; default `userId`).
    pub user_column: Option<String>,

    /// Name of the column of items (`movielens-csv`; default `movieId`).
    pub item_column: Option<String>,

    /// Name of the column of ratings (`movielens-csv`; default `rating`).
    pub rating_column: Option<String>,

    /// Minimum number of ratings of a user or an item in the file; those with fewer are left out (sets of ratings).
    pub min_ratings: Option<usize>,

    /// Number of unrated pairs that are drawn for each rated one (sets of ratings). A user with fewer unrated items gets
    /// all of them.
    pub negatives: Option<usize>,

    /// Share of the rows that go to the test split, above 0 and below 1 (sets of ratings, `table`).
    pub test_share: Option<f64>,

    /// Share of the remaining rows that go to the validation split, above 0 and below 1 (sets of ratings, `table`).
    pub val_share: Option<f64>,

    /// How to treat names without a row in the train split (sets of ratings, `restaurant`; a `table` has its own key). With
    /// `refuse`, the default everywhere, all names of the data have ids, and any other name is an error; with `shared`, they
    /// share the last id.
    pub unknown: Option<Unknown>,

    /// Whether the prepared set is cached in a file (sets of ratings).
    pub cache: Option<bool>,

    /// Folder of that file. The default is the folder of the ratings or, if that is read-only, `moe/prepared` in the user's
    /// cache folder (sets of ratings).
    pub cache_dir: Option<PathBuf>,

    /// Number of rows of the train split (`multi-optdigits` and the like, `synthetic`).
    pub train_rows: Option<usize>,

    /// Number of rows of the validation split (`multi-optdigits` and the like, `synthetic`).
    pub val_rows: Option<usize>,

    /// Number of rows of the test split (`multi-optdigits` and the like, `synthetic`).
    pub test_rows: Option<usize>,

    /// Width of the input, D (`synthetic`).
    pub width: Option<usize>,

    /// Number of planted experts, N (`synthetic`).
    pub experts: Option<usize>,

    /// Standard deviation of the noise added to the target (`synthetic`).
    pub noise: Option<f64>,

    /// Distance of the planted centroids from the origin, while rows have unit variance around their centroid; with 0 the
    /// inputs show no clusters, and only the planted gate is left (`synthetic`).
    pub separation: Option<f64>,

    /// The file and the meaning of its columns (`table`).
    pub table: Option<TableOptions>,
}
}

impl LoadOptions {
    /// Names of the options that a set with these defaults takes: those with a default, those that it `takes` without one,
    /// and the two that every set takes.
    pub(crate) fn taken(defaults: &LoadOptions, takes: &[&str]) -> Vec<&'static str> {
        let has_default = defaults.given().into_iter();
        let names = Self::NAMES.iter().copied().zip(has_default);
        let names = names.filter(|&(name, has_default)| {
            has_default || name == "data_dir" || takes.contains(&name)
        });
        names.map(|(name, _)| name).collect()
    }

    /// These options with the gaps filled from `defaults`, for a set that takes the options of [`LoadOptions::taken`].
    ///
    /// # Errors
    /// If another option is given.
    pub(crate) fn filled(
        &self,
        dataset: &'static str,
        defaults: &LoadOptions,
        takes: &[&str],
    ) -> Result<LoadOptions, DataError> {
        let taken = Self::taken(defaults, takes);
        for (&option, is_given) in Self::NAMES.iter().zip(self.given()) {
            if is_given && !taken.contains(&option) {
                let allowed = taken.join(", ");
                return Err(DataError::OptionDoesNotApply { dataset, option, allowed });
            }
        }
        Ok(self.clone().or(defaults))
    }

    /// The files that the user names and that are looked up in the set's folder.
    pub(crate) fn named_files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let table = self.table.as_mut().map(|table| &mut table.file);
        table.into_iter().chain(&mut self.ratings_file)
    }

    /// Number of rows of the three splits, each at least 1 and at most `most`.
    ///
    /// The set must have defaults for them: an absent number counts as zero and is refused.
    pub(crate) fn split_rows(
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

    /// The shares of the test split, and of the validation split in the rest.
    pub(crate) fn shares(&self, dataset: &'static str) -> Result<[f64; 2], DataError> {
        let share = |option, share: Option<f64>| {
            let value = share.unwrap_or_default();
            if value > 0.0 && value < 1.0 {
                return Ok(value);
            }
            let (value, allowed) = (value.to_string(), "above 0 and below 1".into());
            Err(DataError::BadOption { dataset, option, value, allowed })
        };
        Ok([share("test_share", self.test_share)?, share("val_share", self.val_share)?])
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
    fn gaps_are_filled_and_given_values_stay() {
        let default = LoadOptions::default;
        let defaults = LoadOptions { train_rows: Some(10), noise: Some(0.5), ..default() };
        let given = LoadOptions { seed: 3, noise: Some(0.0), ..default() };
        let filled = given.filled("set", &defaults, &[]).unwrap();
        assert_eq!((filled.seed, filled.train_rows), (3, Some(10)));
        assert_eq!((filled.noise, filled.width), (Some(0.0), None));
    }

    #[test]
    fn a_set_takes_what_has_a_default_and_what_it_names() {
        let defaults = LoadOptions { noise: Some(0.5), ..LoadOptions::default() };
        let names = ["seed", "data_dir", "negatives", "noise"];
        assert_eq!(LoadOptions::taken(&defaults, &["negatives"]), names);
        let given = LoadOptions { negatives: Some(1), width: Some(1), ..LoadOptions::default() };
        let error = given.filled("set", &defaults, &["negatives"]).unwrap_err().to_string();
        assert!(error.ends_with(
            "`width` does not apply to the data set set; it takes seed, data_dir, negatives, noise"
        ));
    }

    #[test]
    fn a_range_refuses_nan_and_says_what_is_allowed() {
        let error = in_range("set", "noise", Some(f64::NAN), 0.0, 2.0).unwrap_err();
        assert_eq!(error.to_string(), "noise = NaN for the data set set; allowed: 0 to 2");
        assert!(in_range("set", "width", None::<usize>, 1, 5).is_err());
        assert_eq!(in_range("set", "width", Some(5), 1, 5).unwrap(), 5);
    }
}
