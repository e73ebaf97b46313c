use std::borrow::Cow;
use std::collections::HashMap;

use moe_core::batch::{InputSpec, Inputs, TokenSpec, Tokens};
use moe_core::{Real, Tensor};

use crate::error::{DataError, shown};
use crate::features::number::number;
use crate::features::schema::{FeatureSchema, NumberFeature, Unknown};

/// Encodes raw rows as model inputs, by a [`FeatureSchema`] ([`FeatureSchema::encoder`]) or as they are
/// ([`RowEncoder::of_input`]).
#[derive(Clone, Debug)]
pub struct RowEncoder<'a> {
    columns: Vec<Cow<'a, str>>,
    ids: Vec<Ids<'a>>,
    /// How each column of numbers is scaled; `None` if it is not.
    numbers: Vec<Option<&'a NumberFeature>>,
    categories: Vec<HashMap<&'a str, u32>>,
    /// The texts that count as an empty field, beside the empty one.
    missing: &'a [String],
    input: InputSpec,
}

/// The values of a column of ids.
#[derive(Clone, Debug)]
enum Ids<'a> {
    /// Names with their ids, and the id that all other names share, if they do.
    Named(HashMap<&'a str, u32>, Option<u32>),
    /// The ids themselves, all below this.
    Below(usize),
}

/// A problem with a row: the column, from 0, or `None` for the whole row; the problem; what is allowed.
type Wrong = (Option<usize>, String, String);

impl FeatureSchema {
    /// An encoder of rows, to be created once for many rows.
    pub fn encoder(&self) -> RowEncoder<'_> {
        let ids = self.ids.iter().map(|column| {
            let shared = match column.unknown {
                Unknown::Shared => Some(column.vocabulary.len() as u32),
                Unknown::Refuse => None,
            };
            Ids::Named(column.vocabulary.ids(), shared)
        });
        RowEncoder {
            columns: self.columns().map(Cow::Borrowed).collect(),
            ids: ids.collect(),
            numbers: self.numbers.iter().map(Some).collect(),
            categories: self.categories.iter().map(|column| column.vocabulary.ids()).collect(),
            missing: &self.missing,
            input: self.input(),
        }
    }
}

impl RowEncoder<'static> {
    /// An encoder for a model whose data has no schema: its columns of ids hold the ids themselves, and the columns `x0`,
    /// `x1`, … hold the D numbers, unscaled. The column `tokens` holds token ids with white space between them.
    ///
    /// ```
    /// use moe_core::batch::InputSpec;
    /// use moe_data::RowEncoder;
    ///
    /// let encoder = RowEncoder::of_input(&InputSpec::dense(2));
    /// assert_eq!(encoder.columns().collect::<Vec<_>>(), ["x0", "x1"]);
    /// let inputs = encoder.encode(&[["0.5", "-1"]])?;
    /// assert_eq!(inputs.dense.unwrap().row(0), [0.5, -1.0]);
    /// # Ok::<(), moe_data::DataError>(())
    /// ```
    pub fn of_input(input: &InputSpec) -> Self {
        let (ids, width) = (&input.columns, input.dense_width());
        let names = ids.iter().map(|column| column.name.clone());
        let numbers = (0..width).map(|place| format!("x{place}"));
        let tokens = input.tokens.map(|_| "tokens".to_owned());
        RowEncoder {
            columns: names.chain(numbers).chain(tokens).map(Cow::Owned).collect(),
            ids: ids.iter().map(|column| Ids::Below(column.vocabulary)).collect(),
            numbers: vec![None; width],
            categories: Vec::new(),
            missing: &[],
            input: input.clone(),
        }
    }
}

impl RowEncoder<'_> {
    /// The columns of a raw row, in order: ids, numbers, categories, tokens.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|name| &**name)
    }

    /// The inputs of a model.
    pub fn input(&self) -> &InputSpec {
        &self.input
    }

    /// An empty set of rows, for [`RowEncoder::push`].
    pub fn rows(&self) -> EncodedRows {
        let has_dense = !self.input.dense.is_empty();
        let inputs = Inputs {
            ids: vec![Vec::new(); self.ids.len()],
            dense: has_dense.then(|| Tensor::zeros(self.input.dense_shape(0))),
            tokens: self.input.tokens.map(|_| Tokens::default()),
        };
        EncodedRows { keys: Vec::new(), values: Vec::new(), inputs }
    }

    /// The inputs for rows with the fields of [`RowEncoder::columns`].
    ///
    /// # Errors
    /// [`DataError::Field`] with row and column if an id is unknown and unknown ids are refused, a field is not a number, or a
    /// row has the wrong number of fields.
    pub fn encode<R: AsRef<[F]>, F: AsRef<str>>(&self, rows: &[R]) -> Result<Inputs, DataError> {
        let mut encoded = self.rows();
        for (row, fields) in (0..).zip(rows) {
            self.push(fields.as_ref(), row, &mut encoded)?;
        }
        encoded.fill_dense();
        Ok(encoded.inputs)
    }

    /// Appends a row to `rows`, which must be from this encoder's [`RowEncoder::rows`]. `number` is the row's index in its
    /// data, from 0.
    ///
    /// # Errors
    /// As [`RowEncoder::encode`]; `rows` then stay unchanged.
    pub fn push<F: AsRef<str>>(
        &self,
        fields: &[F],
        number: u64,
        rows: &mut EncodedRows,
    ) -> Result<(), DataError> {
        let row = rows.keys.len();
        match self.append(fields, rows) {
            Ok(first_id) => {
                rows.keys.push(first_id.map_or(number, u64::from));
                Ok(())
            }
            Err((column, problem, allowed)) => {
                rows.truncate(row, self.input.dense_width());
                let column = column.map_or("", |column| &self.columns[column]).to_owned();
                Err(DataError::Field { row, column, problem, allowed })
            }
        }
    }

    /// Appends a row's inputs, or some of them if one is wrong; returns its first id.
    fn append<F: AsRef<str>>(
        &self,
        fields: &[F],
        rows: &mut EncodedRows,
    ) -> Result<Option<u32>, Wrong> {
        if fields.len() != self.columns.len() {
            return Err((None, format!("{} fields", fields.len()), self.columns.join(", ")));
        }
        let field = |column: usize| match fields[column].as_ref().trim() {
            text if self.missing.iter().any(|missing| missing == text) => "",
            text => text,
        };
        let wrong = |column: usize, is: &str, allowed: &str| {
            let problem = format!("{} {is}", shown(fields[column].as_ref().trim().as_bytes()));
            (Some(column), problem, allowed.to_owned())
        };
        let EncodedRows { values, inputs, .. } = rows;
        let mut first_id = None;
        for (column, (known, ids)) in self.ids.iter().zip(&mut inputs.ids).enumerate() {
            let field = field(column);
            let id = match known {
                Ids::Named(known, shared) => {
                    known.get(field).copied().or(*shared).ok_or_else(|| {
                        let allowed = "a name that was in the training data; with the option unknown = \"shared\", \
                                       unknown names share an id";
                        wrong(column, "is unknown", allowed)
                    })?
                }
                Ids::Below(end) => {
                    let id = field.parse().ok().filter(|&id: &u32| (id as usize) < *end);
                    id.ok_or_else(|| {
                        let allowed = format!("a whole number from 0, below {end}");
                        wrong(column, "is not an id", &allowed)
                    })?
                }
            };
            first_id.get_or_insert(id);
            ids.push(id);
        }
        let numbers = self.ids.len();
        for (column, feature) in (numbers..).zip(&self.numbers) {
            let field = field(column);
            if field.is_empty() && feature.is_some() {
                values.push(0.0);
                continue;
            }
            let or_nothing = if feature.is_some() { ", or nothing" } else { "" };
            let value = number(field)
                .map_err(|(is, allowed)| wrong(column, is, &format!("{allowed}{or_nothing}")))?;
            values.push(match feature {
                None => value as Real,
                Some(feature) => feature.scaled(value).ok_or_else(|| {
                    let (is, allowed) = feature.out_of_range();
                    wrong(column, &is, &format!("{allowed}{or_nothing}"))
                })? as Real,
            });
        }
        for (column, known) in (numbers + self.numbers.len()..).zip(&self.categories) {
            let start = values.len();
            values.resize(start + known.len(), 0.0);
            if let Some(&category) = known.get(field(column)) {
                values[start + category as usize] = 1.0;
            }
        }
        if let (Some(spec), Some(tokens)) = (&self.input.tokens, &mut inputs.tokens) {
            let column = self.columns.len() - 1;
            let ids = token_ids(spec, field(column)).ok_or_else(|| {
                let TokenSpec { vocabulary, longest } = spec;
                let allowed =
                    format!("from 1 to {longest} whole numbers from 0, below {vocabulary}");
                wrong(column, "is not a row of tokens", &allowed)
            })?;
            tokens.push(&ids);
        }
        Ok(first_id)
    }
}

/// The token ids in a field; `None` if there are too few or too many, or one is not in the vocabulary.
fn token_ids(spec: &TokenSpec, field: &str) -> Option<Vec<u32>> {
    let id = |text: &str| text.parse().ok().filter(|&id: &u32| (id as usize) < spec.vocabulary);
    let ids: Vec<u32> = field.split_ascii_whitespace().map(id).collect::<Option<_>>()?;
    (1..=spec.longest).contains(&ids.len()).then_some(ids)
}

/// Rows that a [`RowEncoder`] has encoded one by one, in reusable memory.
///
/// ```
/// use moe_core::batch::{IdColumn, InputSpec};
/// use moe_data::RowEncoder;
///
/// let columns = vec![IdColumn { name: "user".into(), vocabulary: 10 }];
/// let encoder = RowEncoder::of_input(&InputSpec::ids(columns));
/// let mut rows = encoder.rows();
/// encoder.push(&["7"], 0, &mut rows)?;
/// assert!(encoder.push(&["10"], 1, &mut rows).is_err());
/// encoder.push(&["3"], 2, &mut rows)?;
/// let (inputs, keys) = rows.batch();
/// assert_eq!(inputs.ids, [[7, 3]]);
/// assert_eq!(keys, [7, 3]);
/// rows.clear();
/// # Ok::<(), moe_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct EncodedRows {
    keys: Vec<u64>,
    /// `[B, D]`, the numbers of the rows.
    values: Vec<Real>,
    /// The ids of the rows; `fill_dense` copies the numbers here.
    inputs: Inputs,
}

impl EncodedRows {
    /// Number of rows (B).
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The inputs of the rows and their keys: the first id of each or, without ids, its index in its data, as
    /// [`Batch::keys`](moe_core::batch::Batch::keys) in training.
    ///
    /// # Shapes
    /// B rows, B keys
    pub fn batch(&mut self) -> (&Inputs, &[u64]) {
        self.fill_dense();
        (&self.inputs, &self.keys)
    }

    /// Removes all rows.
    pub fn clear(&mut self) {
        self.truncate(0, 0);
    }

    /// Removes the rows from `rows` on, including an unfinished one.
    fn truncate(&mut self, rows: usize, width: usize) {
        self.keys.truncate(rows);
        self.values.truncate(rows * width);
        self.inputs.ids.iter_mut().for_each(|ids| ids.truncate(rows));
        self.inputs.tokens.iter_mut().for_each(|tokens| tokens.truncate(rows));
    }

    fn fill_dense(&mut self) {
        if let Some(dense) = &mut self.inputs.dense {
            let shape = [&[self.keys.len()], &dense.shape()[1..]].concat();
            dense.resize(&*shape);
            dense.as_mut_slice().copy_from_slice(&self.values);
        }
    }
}
