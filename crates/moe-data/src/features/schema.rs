use std::collections::BTreeMap;

use moe_core::batch::{IdColumn, InputSpec};
use serde::{Deserialize, Serialize};

use crate::features::vocabulary::Vocabulary;

/// The encoding of rows of the original data as model inputs, which a trained model needs for new rows.
///
/// A raw row has the fields of [`FeatureSchema::columns`] as text. [`Dataset::schema`](crate::Dataset::schema) returns the
/// schema of a data set; it can be saved beside the model with serde.
///
/// ```
/// let data = moe_data::load("restaurant", &Default::default())?;
/// let schema = data.schema().expect("its columns are ids");
/// let encoder = schema.encoder();
/// let inputs = encoder.encode(&[["U1077", "135085"]])?;
/// assert_eq!(inputs.ids, [[0], [6]]);
/// assert!(encoder.encode(&[["nobody", "135085"]]).is_err());
/// # Ok::<(), moe_data::DataError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSchema {
    /// Columns of ids, in order.
    pub ids: Vec<IdFeature>,
    /// Columns of numbers: the first of the dense inputs.
    pub numbers: Vec<NumberFeature>,
    /// Columns of categories: after the numbers, one dense input for each category.
    pub categories: Vec<CategoryFeature>,
    /// Names of the classes, by task, for tasks whose classes have names.
    pub classes: BTreeMap<String, Vocabulary>,
    /// The texts that count as an empty field, beside the empty one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// A column of ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdFeature {
    /// Its name.
    pub name: String,
    /// How to treat a name that has no id.
    pub unknown: Unknown,
    /// The names of the ids.
    pub vocabulary: Vocabulary,
}

/// How to treat a name that a column of ids does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// Unknown names are an error; all names of the data, in whatever split, have an id.
    #[default]
    Refuse,
    /// All names without a row in the train split share the last id.
    Shared,
}

/// A column of numbers: `(x - shift) * scale`, and 0 where the field is empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberFeature {
    /// Its name.
    pub name: String,
    /// The number that is subtracted.
    pub shift: f64,
    /// The factor of the difference.
    pub scale: f64,
}

/// A column of categories: 1 for the category of the field, 0 for the others; all 0 for an unknown category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryFeature {
    /// Its name.
    pub name: String,
    /// The categories.
    pub vocabulary: Vocabulary,
}

impl IdFeature {
    /// The column of `ids`, which are indices into `names`. If names without a row in `train` are to share an id, all ids are
    /// renumbered in the same order.
    pub(crate) fn of(
        name: &str,
        names: Vocabulary,
        unknown: Option<Unknown>,
        ids: &mut [u32],
        train: &[u32],
    ) -> Self {
        let unknown = unknown.unwrap_or_default();
        let name = name.to_owned();
        if unknown == Unknown::Refuse {
            return IdFeature { name, unknown, vocabulary: names };
        }
        let mut is_known = vec![false; names.len()];
        train.iter().for_each(|&row| is_known[ids[row as usize] as usize] = true);
        let known = names.names().zip(&is_known).filter(|(_, known)| **known);
        let vocabulary: Vocabulary = known.map(|(name, _)| name).collect();
        let mut new = vec![vocabulary.len() as u32; names.len()];
        let known = (0..names.len()).filter(|&id| is_known[id]);
        (0..).zip(known).for_each(|(number, id)| new[id] = number);
        ids.iter_mut().for_each(|id| *id = new[*id as usize]);
        IdFeature { name, unknown, vocabulary }
    }

    /// Number of ids.
    fn ids(&self) -> usize {
        self.vocabulary.len() + usize::from(self.unknown == Unknown::Shared)
    }
}

impl NumberFeature {
    /// The input of a number; `None` if it is beyond single precision.
    pub(crate) fn scaled(&self, value: f64) -> Option<f32> {
        Some(((value - self.shift) * self.scale) as f32).filter(|input| input.is_finite())
    }

    /// What is wrong with a number that has no input, and what is allowed.
    pub(crate) fn out_of_range(&self) -> (String, String) {
        let NumberFeature { shift, scale, .. } = *self;
        let reach = f64::from(f32::MAX) / scale.abs();
        let [least, most] = [shift - reach, shift + reach];
        let is =
            format!("is beyond single precision once it is scaled, (x - {shift:e}) * {scale:e}");
        (is, format!("{least:e} to {most:e}"))
    }
}

impl FeatureSchema {
    /// The columns of a raw row, in order: ids, numbers, categories.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let ids = self.ids.iter().map(|column| &column.name);
        let numbers = self.numbers.iter().map(|column| &column.name);
        let categories = self.categories.iter().map(|column| &column.name);
        ids.chain(numbers).chain(categories).map(String::as_str)
    }

    /// The inputs of a model.
    pub fn input(&self) -> InputSpec {
        let columns: Vec<IdColumn> = self
            .ids
            .iter()
            .map(|column| IdColumn { name: column.name.clone(), vocabulary: column.ids() })
            .collect();
        let dense = match self.width() {
            0 => Vec::new(),
            width => vec![width],
        };
        InputSpec::ids(columns).with_dense(dense)
    }

    /// Whether rows have the same inputs and classes by both schemas, but for the texts that count as an empty field.
    pub fn same_columns(&self, other: &FeatureSchema) -> bool {
        let FeatureSchema { ids, numbers, categories, classes, missing: _ } = self;
        (ids, numbers) == (&other.ids, &other.numbers)
            && (categories, classes) == (&other.categories, &other.classes)
    }

    /// Number of dense inputs.
    pub(crate) fn width(&self) -> usize {
        let categories = self.categories.iter().map(|column| column.vocabulary.len());
        self.numbers.len() + categories.sum::<usize>()
    }
}
