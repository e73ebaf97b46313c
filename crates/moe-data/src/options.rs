use std::fmt::Display;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::DataError;

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

    /// Rows of the train part (`multi-optdigits`, `synthetic`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_rows: Option<usize>,

    /// Rows of the validation part (`multi-optdigits`, `synthetic`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_rows: Option<usize>,

    /// Rows of the test part (`multi-optdigits`, `synthetic`).
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
}

impl LoadOptions {
    /// What [`Default`] gives, for tables of defaults.
    pub(crate) const NONE: LoadOptions = LoadOptions {
        seed: 0,
        data_dir: None,
        test_file: None,
        train_rows: None,
        val_rows: None,
        test_rows: None,
        width: None,
        experts: None,
        noise: None,
        separation: None,
    };

    /// These options with the gaps filled from `defaults`, the ones that `dataset` takes.
    ///
    /// # Errors
    /// If an option is given that `defaults` does not have, or `test_file` where it is not taken.
    pub(crate) fn filled(
        &self,
        dataset: &'static str,
        defaults: &LoadOptions,
        takes_test_file: bool,
    ) -> Result<LoadOptions, DataError> {
        let refuse = |option| DataError::OptionDoesNotApply {
            dataset,
            option,
            allowed: defaults.names(takes_test_file).join(", "),
        };
        let test_file = self.test_file.clone();
        if test_file.is_some() && !takes_test_file {
            return Err(refuse("test_file"));
        }
        let size = |option, given: Option<usize>, default: Option<usize>| match (given, default) {
            (Some(_), None) => Err(refuse(option)),
            _ => Ok(given.or(default)),
        };
        let number = |option, given: Option<f64>, default: Option<f64>| match (given, default) {
            (Some(_), None) => Err(refuse(option)),
            _ => Ok(given.or(default)),
        };
        Ok(LoadOptions {
            seed: self.seed,
            data_dir: self.data_dir.clone(),
            test_file,
            train_rows: size("train_rows", self.train_rows, defaults.train_rows)?,
            val_rows: size("val_rows", self.val_rows, defaults.val_rows)?,
            test_rows: size("test_rows", self.test_rows, defaults.test_rows)?,
            width: size("width", self.width, defaults.width)?,
            experts: size("experts", self.experts, defaults.experts)?,
            noise: number("noise", self.noise, defaults.noise)?,
            separation: number("separation", self.separation, defaults.separation)?,
        })
    }

    /// Names of the options that a set with these defaults takes.
    pub(crate) fn names(&self, takes_test_file: bool) -> Vec<&'static str> {
        [
            ("seed", true),
            ("data_dir", true),
            ("test_file", takes_test_file),
            ("train_rows", self.train_rows.is_some()),
            ("val_rows", self.val_rows.is_some()),
            ("test_rows", self.test_rows.is_some()),
            ("width", self.width.is_some()),
            ("experts", self.experts.is_some()),
            ("noise", self.noise.is_some()),
            ("separation", self.separation.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, taken)| taken.then_some(name))
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
        let filled = given.filled("set", &defaults, false).unwrap();
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
