use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::dataset::table::Column;
use crate::error::DataError;
use crate::features::schema::Unknown;
use crate::formats::rows::RawRow;

/// What the columns of a table mean (`table`). Columns that are not named are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableOptions {
    /// The file: CSV with a header, plain or gzip, or `.parquet`. It is looked for in the folder `table` of the data
    /// directory, then from the working directory.
    pub file: PathBuf,
    /// What stands between the fields of a CSV file.
    #[serde(default)]
    pub separator: Separator,
    /// Columns of ids, which get embeddings; the first one is the row's key.
    #[serde(default)]
    pub ids: Vec<String>,
    /// What becomes of ids that the train part does not have.
    #[serde(default)]
    pub unknown: Unknown,
    /// Rows of the train part that an id needs; if unknown ids share one, rarer ones are unknown.
    #[serde(default = "one")]
    pub min_count: usize,
    /// Columns of numbers; an empty field counts as the mean (or 0 without scaling, the least with `min-max`).
    #[serde(default)]
    pub numbers: Vec<String>,
    /// How numbers are scaled.
    #[serde(default)]
    pub scaling: Scaling,
    /// Columns of categories, at most 256 in each.
    #[serde(default)]
    pub categories: Vec<String>,
    /// What is to be predicted.
    pub targets: Vec<TargetColumn>,
}

fn one() -> usize {
    1
}

/// What stands between fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Separator {
    /// `,`
    #[default]
    Comma,
    /// `;`
    Semicolon,
    /// A tabulator.
    Tab,
}

/// How numbers are scaled, by the train part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// To mean 0 and standard deviation 1.
    #[default]
    Standard,
    /// To 0 for the least and 1 for the greatest.
    MinMax,
    /// Not at all.
    None,
}

/// A column that is to be predicted; the task has its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetColumn {
    /// Its name.
    pub column: String,
    /// What its fields are.
    pub kind: TargetKind,
    /// For `binary`: the field that means yes, all others no. Without it fields are `1` or `0`, `true` or `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive: Option<String>,
}

/// What the fields of a target are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// Yes or no.
    Binary,
    /// Names of classes, at most 256.
    Multiclass,
    /// Numbers; a row with an empty field takes no part in the task.
    Regression,
}

impl Scaling {
    /// Shift and scale for these values.
    pub(crate) fn of(self, values: impl Iterator<Item = f64> + Clone) -> [f64; 2] {
        let count = values.clone().count().max(1) as f64;
        let [shift, spread] = match self {
            Scaling::None => return [0.0, 1.0],
            Scaling::Standard => {
                let mean = values.clone().sum::<f64>() / count;
                let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
                [mean, variance.sqrt()]
            }
            Scaling::MinMax => {
                let least = values.clone().fold(f64::INFINITY, f64::min);
                let most = values.fold(f64::NEG_INFINITY, f64::max);
                [least, most - least]
            }
        };
        // A constant column says nothing, and so does one without a value or too wide to be squared.
        match shift.is_finite() && spread.is_finite() && spread > 0.0 {
            true => [shift, spread.recip()],
            false if shift.is_finite() => [shift, 1.0],
            false => [0.0, 1.0],
        }
    }
}

impl TargetKind {
    pub(crate) fn column(self) -> Column {
        match self {
            TargetKind::Binary => Column::Binary(Vec::new()),
            TargetKind::Multiclass => Column::Multiclass(Vec::new()),
            TargetKind::Regression => Column::Regression(Vec::new()),
        }
    }
}

impl TargetColumn {
    pub(crate) fn is_positive(&self, row: &RawRow<'_>, place: usize) -> Result<bool, DataError> {
        let field = row.fields[place];
        match (&self.positive, field) {
            (Some(positive), field) => Ok(positive == field),
            (None, "1" | "true" | "True" | "TRUE") => Ok(true),
            (None, "0" | "false" | "False" | "FALSE") => Ok(false),
            _ => Err(row.wrong(place, "is neither yes nor no", "1 or 0, true or false")),
        }
    }
}
