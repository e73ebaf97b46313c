use std::path::PathBuf;

use moe_core::batch::TaskKind;
use serde::{Deserialize, Serialize};

use crate::dataset::table::Column;
use crate::error::DataError;
use crate::features::schema::Unknown;
use crate::formats::table_rows::TableRow;

/// The meaning of the columns of a table (set `table`). Columns that are not named are ignored. Blanks around a field are too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableOptions {
    /// The file: CSV with a header, plain or gzip, or `.parquet`. It is looked up in the folder `table` of the data
    /// directory, then relative to the working directory. A saved run records the absolute path
    /// ([`Entry::resolve`](crate::Entry::resolve)).
    pub file: PathBuf,
    /// Separator of the fields of a CSV file.
    #[serde(default)]
    pub separator: Separator,
    /// The texts that count as an empty field, in every column: a number then counts as the mean, a target is absent, and an
    /// id is refused. An empty field always does. The default is `["", "NA", "null"]`; with `[""]`, the other two are texts
    /// like any other, such as the name of a class.
    #[serde(default = "default_missing")]
    pub missing: Vec<String>,
    /// Columns of ids, which get embeddings; the first one is the row's key.
    #[serde(default)]
    pub ids: Vec<String>,
    /// How to treat ids that the train split does not have; the default is to refuse names that are not in the data.
    #[serde(default)]
    pub unknown: Unknown,
    /// Minimum number of rows of the train split with an id, from 1. Rarer ids are unknown, so unknown ids must share one.
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
    /// Columns to predict. Each has labels of at least two values.
    pub targets: Vec<TargetColumn>,
}

fn default_missing() -> Vec<String> {
    ["", "NA", "null"].map(str::to_owned).into()
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

/// A column to predict; the task has its name. A row whose field is missing has no target for the task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TargetKeys")]
pub struct TargetColumn {
    /// Its name.
    pub column: String,
    /// Kind of its fields.
    pub kind: TargetKind,
    /// For `binary`: the text that means yes; all others that are not missing mean no. Without it, fields are `1` or `0`
    /// (also `1.0` or `0.0`), `true` or `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positive: Option<String>,
}

/// A [`TargetColumn`] in a file.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { column = \"churned\", kind = \"binary\" }, with the kind binary, multiclass or \
                 regression, and for binary also positive, the text that means yes"
)]
struct TargetKeys {
    column: String,
    kind: Option<TargetKind>,
    positive: Option<String>,
}

impl TryFrom<TargetKeys> for TargetColumn {
    type Error = String;

    fn try_from(keys: TargetKeys) -> Result<Self, String> {
        let TargetKeys { column, kind, positive } = keys;
        match (kind, &positive) {
            (None, _) => Err(format!(
                "the target {column:?} has no kind; allowed: kind = \"binary\", \"multiclass\" or \"regression\""
            )),
            (Some(TargetKind::Multiclass | TargetKind::Regression), Some(_)) => Err(format!(
                "the target {column:?} has the key positive; allowed: only with kind = \"binary\""
            )),
            (Some(kind), _) => Ok(TargetColumn { column, kind, positive }),
        }
    }
}

/// Kind of the fields of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// Yes or no.
    Binary,
    /// Names of classes, at most 65,536.
    Multiclass,
    /// Numbers, from -1e15 to 1e15.
    Regression,
}

impl Scaling {
    /// Shift and scale for these values, which fit into single precision: sums of their squares are far from the bounds of
    /// double precision.
    pub(crate) fn of(self, values: impl Iterator<Item = f64> + Clone) -> [f64; 2] {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.clone().fold(f64::NEG_INFINITY, f64::max);
        // A column without a value is not scaled. A constant one is shifted to 0, though its computed mean may be another
        // number with a tiny deviation.
        match self {
            Scaling::None => return [0.0, 1.0],
            _ if least > most => return [0.0, 1.0],
            _ if least == most => return [least, 1.0],
            _ => {}
        }
        let [shift, spread] = match self {
            Scaling::Standard => {
                let count = values.clone().count() as f64;
                let mean = values.clone().sum::<f64>() / count;
                let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
                [mean, variance.sqrt()]
            }
            Scaling::None | Scaling::MinMax => [least, most - least],
        };
        // The square of a tiny spread, or its reciprocal, may not be a number.
        let scale = spread.recip();
        [shift, if scale.is_finite() { scale } else { 1.0 }]
    }
}

impl TableOptions {
    /// Whether a field counts as empty.
    pub(crate) fn is_missing(&self, field: &str) -> bool {
        field.is_empty() || self.missing.iter().any(|marker| marker == field)
    }

    /// The texts that count as empty fields, in words.
    pub(crate) fn markers(&self) -> String {
        let others = self.missing.iter().filter(|marker| !marker.is_empty());
        let texts: Vec<String> = others.map(|marker| format!("{marker:?}")).collect();
        format!("\"\" and those in missing = [{}]", texts.join(", "))
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
        options: &TableOptions,
    ) -> Result<Option<bool>, DataError> {
        match (&self.positive, row.fields[place]) {
            (_, field) if options.is_missing(field) => Ok(None),
            (Some(positive), field) => Ok(Some(positive == field)),
            (None, "1" | "1.0" | "true" | "True" | "TRUE") => Ok(Some(true)),
            (None, "0" | "0.0" | "false" | "False" | "FALSE") => Ok(Some(false)),
            _ => {
                let allowed = format!(
                    "1 or 0, true or false, or other texts if the key positive of the target names the one that means yes; \
                     missing are {}",
                    options.markers()
                );
                Err(row.wrong(place, "is neither yes nor no", allowed))
            }
        }
    }
}
