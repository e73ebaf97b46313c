use std::collections::{BTreeMap, HashMap};

use moe_core::batch::{IdColumn, InputSpec, Inputs};
use moe_core::{Real, Tensor};
use serde::{Deserialize, Serialize};

use crate::{DataError, Vocabulary};

/// How rows of the original data become the inputs of a model: what a trained model needs to be asked about new rows.
///
/// A raw row has the fields of [`FeatureSchema::columns`] as text. [`Dataset::schema`](crate::Dataset::schema) has the
/// one that a data set was made with; as a serde value it can be kept beside the model.
///
/// ```
/// use moe_core::batch::Inputs;
///
/// let data = moe_data::load("restaurant", &Default::default())?;
/// let schema = data.schema().expect("its columns are ids");
/// let encoder = schema.encoder();
/// let Inputs::Ids(ids) = encoder.encode(&[["U1077", "135085"]])? else { unreachable!() };
/// assert_eq!(ids, [[0], [6]]);
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
    /// Columns of categories: after the numbers, a dense input for each category.
    pub categories: Vec<CategoryFeature>,
    /// For tasks with classes that have names, these, by task.
    pub classes: BTreeMap<String, Vocabulary>,
}

/// A column of ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdFeature {
    /// Its name.
    pub name: String,
    /// What becomes of a name that has no id.
    pub unknown: Unknown,
    /// The names of the ids.
    pub vocabulary: Vocabulary,
}

/// What becomes of a name that a column of ids does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// It is an error.
    Refuse,
    /// All of them share one id, the last.
    #[default]
    Shared,
}

/// A column of numbers: `(x - shift) * scale`, and 0 where the field is empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberFeature {
    /// Its name.
    pub name: String,
    /// What is taken off.
    pub shift: f64,
    /// What the rest is multiplied with.
    pub scale: f64,
}

/// A column of categories: 1 for the field's own, 0 for the others; all 0 for an unknown one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryFeature {
    /// Its name.
    pub name: String,
    /// The categories.
    pub vocabulary: Vocabulary,
}

impl IdFeature {
    /// Number of ids.
    fn ids(&self) -> usize {
        self.vocabulary.len() + usize::from(self.unknown == Unknown::Shared)
    }
}

impl NumberFeature {
    /// The input for a field; `None` if it is neither empty nor a finite number.
    pub(crate) fn input(&self, field: &str) -> Option<f32> {
        if field.is_empty() {
            return Some(0.0);
        }
        Some(self.scaled(finite(field)?))
    }

    pub(crate) fn scaled(&self, value: f64) -> f32 {
        ((value - self.shift) * self.scale) as f32
    }
}

/// The finite number that a field says.
pub(crate) fn finite(field: &str) -> Option<f64> {
    field.parse::<f64>().ok().filter(|value| value.is_finite())
}

impl FeatureSchema {
    /// The schema of columns of ids that know only these names.
    pub(crate) fn of_ids<const N: usize>(
        columns: &[IdColumn],
        vocabularies: [Vocabulary; N],
    ) -> Self {
        let ids = columns.iter().zip(vocabularies).map(|(column, vocabulary)| IdFeature {
            name: column.name.clone(),
            unknown: Unknown::Refuse,
            vocabulary,
        });
        FeatureSchema { ids: ids.collect(), ..FeatureSchema::default() }
    }

    /// The columns that a raw row has, in order: ids, numbers, categories.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let ids = self.ids.iter().map(|column| &column.name);
        let numbers = self.numbers.iter().map(|column| &column.name);
        let categories = self.categories.iter().map(|column| &column.name);
        ids.chain(numbers).chain(categories).map(String::as_str)
    }

    /// What a model is given.
    pub fn input(&self) -> InputSpec {
        let columns: Vec<IdColumn> = self
            .ids
            .iter()
            .map(|column| IdColumn { name: column.name.clone(), vocabulary: column.ids() })
            .collect();
        match (columns.is_empty(), self.width()) {
            (true, width) => InputSpec::Dense { width },
            (false, 0) => InputSpec::Ids { columns },
            (false, width) => InputSpec::Mixed { columns, width },
        }
    }

    /// Number of dense inputs.
    pub(crate) fn width(&self) -> usize {
        let categories = self.categories.iter().map(|column| column.vocabulary.len());
        self.numbers.len() + categories.sum::<usize>()
    }

    /// What encodes rows; to be kept for many of them.
    pub fn encoder(&self) -> RowEncoder<'_> {
        RowEncoder {
            schema: self,
            ids: self.ids.iter().map(|column| column.vocabulary.ids()).collect(),
            categories: self.categories.iter().map(|column| column.vocabulary.ids()).collect(),
        }
    }
}

/// Encodes raw rows as a [`FeatureSchema`] says.
#[derive(Clone, Debug)]
pub struct RowEncoder<'a> {
    schema: &'a FeatureSchema,
    ids: Vec<HashMap<&'a str, u32>>,
    categories: Vec<HashMap<&'a str, u32>>,
}

impl RowEncoder<'_> {
    /// The inputs for rows with the fields of [`FeatureSchema::columns`].
    ///
    /// # Errors
    /// [`DataError::Field`] with row and column if an id is unknown and that is refused, a number is none, or a row has
    /// another number of fields.
    pub fn encode<R: AsRef<[F]>, F: AsRef<str>>(&self, rows: &[R]) -> Result<Inputs, DataError> {
        let schema = self.schema;
        let width = schema.width();
        let mut ids = vec![Vec::with_capacity(rows.len()); schema.ids.len()];
        let mut values = vec![0.0; rows.len() * width];
        let names: Vec<&str> = schema.columns().collect();
        for (row, fields) in rows.iter().enumerate() {
            let fields = fields.as_ref();
            let wrong = |column: usize, problem: String, allowed: &str| DataError::Field {
                row,
                column: names.get(column).copied().unwrap_or_default().to_owned(),
                problem,
                allowed: allowed.to_owned(),
            };
            if fields.len() != names.len() {
                let problem = format!("{} fields", fields.len());
                return Err(wrong(usize::MAX, problem, &names.join(", ")));
            }
            let field = |column: usize| fields[column].as_ref().trim();
            for (column, (ids, known)) in ids.iter_mut().zip(&self.ids).enumerate() {
                let feature = &schema.ids[column];
                let shared = || match feature.unknown {
                    Unknown::Shared => Some(feature.vocabulary.len() as u32),
                    Unknown::Refuse => None,
                };
                let id = known.get(field(column)).copied().or_else(shared);
                ids.push(id.ok_or_else(|| {
                    let problem = format!("{:?} is unknown", field(column));
                    wrong(column, problem, "a name that was in the training data")
                })?);
            }
            let values = &mut values[row * width..][..width];
            let first = schema.ids.len();
            for (number, (feature, value)) in schema.numbers.iter().zip(&mut *values).enumerate() {
                let column = first + number;
                let input = feature.input(field(column)).ok_or_else(|| {
                    let problem = format!("{:?} is not a number", field(column));
                    wrong(column, problem, "a finite number, or nothing")
                })?;
                *value = input as Real;
            }
            let (first, mut start) = (first + schema.numbers.len(), schema.numbers.len());
            for (column, known) in self.categories.iter().enumerate() {
                if let Some(&category) = known.get(field(first + column)) {
                    values[start + category as usize] = 1.0;
                }
                start += known.len();
            }
        }
        let dense = |values| Tensor::new([rows.len(), width], values);
        Ok(match schema.input() {
            InputSpec::Dense { .. } => Inputs::Dense(dense(values)),
            InputSpec::Ids { .. } => Inputs::Ids(ids),
            InputSpec::Mixed { .. } => Inputs::Mixed { ids, dense: dense(values) },
        })
    }
}
