use std::path::PathBuf;

use moe_core::batch::TaskKind;
use serde::{Deserialize, Serialize};

use crate::dataset::table::Column;
use crate::error::DataError;
use crate::features::schema::Unknown;
use crate::formats::table_rows::TableRow;

/// The meaning of the columns of a table (set `table`). Columns that are not named are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableOptions {
    /// The file: CSV with a header, plain or gzip, or `.parquet`. It is looked up in the folder `table` of the data
    /// directory, then relative to the working directory.
    pub file: PathBuf,
    /// Separator of the fields of a CSV file.
    #[serde(default)]
    pub separator: Separator,
    /// Columns of ids, which get embeddings; the first one is the row's key.
    #[serde(default)]
    pub ids: Vec<String>,
    /// How to treat ids that the train split does not have.
    #[serde(default)]
    pub unknown: Unknown,
    /// Minimum number of rows of the train split with an id; if unknown ids share one, rarer ids are unknown.
    #[serde(default = "one")]
    pub min_count: usize,
    /// Columns of numbers; an empty field counts as the mean (as 0 without scaling, as the least with `min-max`).
    #[serde(default)]
    pub numbers: Vec<String>,
    /// Scaling of the numbers.
    #[serde(default)]
    pub scaling: Scaling,
    /// Columns of categories, at most 256 in each.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Columns to predict.
    pub targets: Vec<TargetColumn>,
}

fn one() -> usize {
    1
}

/// Separator of fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Separator {
    /// `,`
    #[default]
    Comma,
    /// `;`
    Semicolon,
    /// A tab character.
    Tab,
}

/// Scaling of numbers, by their values in the train split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// To mean 0 and standard deviation 1.
    #[default]
    Standard,
    /// To 0 for the least and 1 for the greatest.
    MinMax,
    /// No scaling.
    None,
}

/// A column to predict; the task has its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetColumn {
    /// Its name.
    pub column: String,
    /// Kind of its fields.
    pub kind: TargetKind,
    /// For `binary`: the field that means yes; all others mean no. Without it, fields are `1` or `0`, `true` or `false`, and
    /// a row with an empty field has no target for the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive: Option<String>,
}

/// Kind of the fields of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// Yes or no.
    Binary,
    /// Names of classes, at most 65,536; a row with an empty field has no target for the task.
    Multiclass,
    /// Numbers; a row with an empty field has no target for the task.
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
        // A constant column is not scaled, nor is one without a value or with values too large to be squared.
        if !shift.is_finite() {
            [0.0, 1.0]
        } else if spread.is_finite() && spread > 0.0 {
            [shift, spread.recip()]
        } else {
            [shift, 1.0]
        }
    }
}

impl TargetKind {
    pub(crate) fn column(self) -> Column {
        match self {
            TargetKind::Binary => Column::Flags(Vec::new()),
            TargetKind::Multiclass => Column::Classes(Vec::new()),
            TargetKind::Regression => Column::Values(Vec::new()),
        }
    }

    /// The kind of the task, which has so many classes if it has any.
    pub(crate) fn task(self, classes: usize) -> TaskKind {
        match self {
            TargetKind::Binary => TaskKind::binary(),
            TargetKind::Multiclass => TaskKind::multiclass(classes),
            TargetKind::Regression => TaskKind::regression(),
        }
    }
}

impl TargetColumn {
    /// Whether the field of a binary target means yes; `None` where the row has no target.
    pub(crate) fn is_positive(
        &self,
        row: &TableRow<'_>,
        place: usize,
    ) -> Result<Option<bool>, DataError> {
        let field = row.fields[place];
        match (&self.positive, field) {
            (Some(positive), field) => Ok(Some(positive == field)),
            (None, "") => Ok(None),
            (None, "1" | "true" | "True" | "TRUE") => Ok(Some(true)),
            (None, "0" | "false" | "False" | "FALSE") => Ok(Some(false)),
            _ => {
                Err(row.wrong(place, "is neither yes nor no", "1 or 0, true or false, or nothing"))
            }
        }
    }
}
