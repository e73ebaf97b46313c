use std::fmt;

use serde::{Deserialize, Serialize};

use crate::tensor::Shape;

/// The input of a model for each row: ids, dense values and tokens. Parts that a model does not take are empty.
///
/// ```
/// use moe_core::batch::{IdColumn, InputSpec};
///
/// let pictures = InputSpec::default().with_dense([3, 32, 32]);
/// assert_eq!(pictures.dense_width(), 3072);
///
/// let user = IdColumn { name: "user".into(), vocabulary: 100 };
/// let mixed = InputSpec::ids(vec![user]).with_dense([7]);
/// assert_eq!((mixed.columns.len(), mixed.dense_width()), (1, 7));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct InputSpec {
    /// Name and vocabulary size of each column of ids, in order. The first column is the key of the row (for recommenders,
    /// the user).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<IdColumn>,
    /// Shape of the dense values of a row: `[D]`, or `[C, H, W]` for a picture. It is empty if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dense: Vec<usize>,
    /// The tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenSpec>,
}

/// A column of ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdColumn {
    /// Name of the column.
    pub name: String,
    /// Size of the vocabulary. All ids are below it.
    pub vocabulary: usize,
}

/// A sequence of token ids per row. It has at least one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// Size of the vocabulary. All token ids are below it.
    pub vocabulary: usize,
    /// Largest number of tokens of a row.
    pub longest: usize,
}

impl InputSpec {
    /// The largest number of axes of a row's dense values. The rows of a batch are one more.
    pub const MAX_DENSE_RANK: usize = Shape::MAX_RANK - 1;

    /// One id per column.
    pub fn ids(columns: Vec<IdColumn>) -> Self {
        InputSpec { columns, ..InputSpec::default() }
    }

    /// A vector of `width` numbers (D).
    pub fn dense(width: usize) -> Self {
        InputSpec::default().with_dense([width])
    }

    /// Between one and `longest` tokens, each below `vocabulary`.
    pub fn tokens(vocabulary: usize, longest: usize) -> Self {
        let tokens = Some(TokenSpec { vocabulary, longest });
        InputSpec { tokens, ..InputSpec::default() }
    }

    /// The same with dense values of this shape, or without any if it is empty.
    ///
    /// # Panics
    /// If the shape has more than [`InputSpec::MAX_DENSE_RANK`] axes.
    pub fn with_dense(self, shape: impl Into<Vec<usize>>) -> Self {
        let dense = shape.into();
        let most = Self::MAX_DENSE_RANK;
        assert!(dense.len() <= most, "a row has at most {most} axes, not {dense:?}");
        InputSpec { dense, ..self }
    }

    /// Number of dense values per row (D); 0 if there are none.
    pub fn dense_width(&self) -> usize {
        match &*self.dense {
            [] => 0,
            dims => dims.iter().product(),
        }
    }

    /// Shape of the dense values of B rows: `[B, ..dense]`.
    ///
    /// # Panics
    /// If the shape of a row has more than [`InputSpec::MAX_DENSE_RANK`] axes.
    pub fn dense_shape(&self, rows: usize) -> Shape {
        let mut dims = [rows; Shape::MAX_RANK];
        dims[1..=self.dense.len()].copy_from_slice(&self.dense);
        Shape::new(&dims[..=self.dense.len()])
    }

    /// Whether a model for this input takes dense values of a row with this shape. A model that takes a vector takes as many
    /// numbers in any shape.
    pub fn takes_dense(&self, shape: &[usize]) -> bool {
        *self.dense == *shape
            || (self.dense.len() == 1
                && !shape.is_empty()
                && shape.iter().product::<usize>() == self.dense[0])
    }

    /// Whether a model for this input takes the rows of data with the input `data`: they have the same columns of ids and
    /// the same tokens, and dense values of a shape that the model takes ([`InputSpec::takes_dense`]).
    pub fn takes(&self, data: &InputSpec) -> bool {
        let InputSpec { columns, dense, tokens } = data;
        self.columns == *columns && self.takes_dense(dense) && self.tokens == *tokens
    }
}

/// The parts in words, such as `2 columns of ids and 7 numbers`.
impl fmt::Display for InputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InputSpec { columns, dense, tokens } = self;
        let ids = (!columns.is_empty()).then(|| format!("{} columns of ids", columns.len()));
        let numbers = (!dense.is_empty()).then(|| format!("{} numbers", self.dense_width()));
        let tokens = tokens.map(|tokens| format!("up to {} tokens", tokens.longest));
        let parts: Vec<String> = [ids, numbers, tokens].into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "no inputs" } else { "" })?;
        f.write_str(&parts.join(" and "))
    }
}

/// The form of an [`InputSpec`] in files: the spec itself or, with `kind`, that of run directories of format 1, whose dense
/// values are a vector of `width` numbers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    kind: Option<Kind>,
    columns: Option<Vec<IdColumn>>,
    width: Option<usize>,
    #[serde(default)]
    dense: Vec<usize>,
    tokens: Option<TokenSpec>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Dense,
    Ids,
    Mixed,
}

impl TryFrom<Stored> for InputSpec {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let spec = match stored {
            Stored { kind: None, columns, width: None, dense, tokens } => {
                InputSpec { columns: columns.unwrap_or_default(), dense, tokens }
            }
            Stored { kind: None, .. } => return Err("a width stands beside a kind only".into()),
            Stored { kind: Some(kind), columns, width, dense, tokens } => {
                let (columns, dense) = match (kind, columns, width, &*dense, tokens) {
                    (Kind::Dense, None, Some(width), [], None) => (Vec::new(), vec![width]),
                    (Kind::Ids, Some(columns), None, [], None) => (columns, Vec::new()),
                    (Kind::Mixed, Some(columns), Some(width), [], None) => (columns, vec![width]),
                    _ => {
                        return Err(
                            "the kind dense has a width, ids has columns, mixed has both".into()
                        );
                    }
                };
                InputSpec { columns, dense, tokens: None }
            }
        };
        let size = spec.dense.iter().try_fold(1usize, |size, &dim| size.checked_mul(dim));
        if spec.dense.len() > Self::MAX_DENSE_RANK || size.is_none() {
            return Err(format!(
                "the dense values of a row cannot have the shape {:?}",
                spec.dense
            ));
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    fn column(name: &str, vocabulary: usize) -> IdColumn {
        IdColumn { name: name.into(), vocabulary }
    }

    #[test]
    fn a_spec_is_written_without_its_empty_parts_and_read_again() {
        let user = json!([{"name": "user", "vocabulary": 5}]);
        let table = [
            (InputSpec::default(), json!({})),
            (InputSpec::dense(64), json!({"dense": [64]})),
            (InputSpec::dense(0), json!({"dense": [0]})),
            (InputSpec::default().with_dense([3, 8, 9]), json!({"dense": [3, 8, 9]})),
            (InputSpec::ids(vec![column("user", 5)]), json!({"columns": user})),
            (
                InputSpec::ids(vec![column("user", 5)]).with_dense([3]),
                json!({"columns": user, "dense": [3]}),
            ),
            (InputSpec::tokens(50, 12), json!({"tokens": {"vocabulary": 50, "longest": 12}})),
        ];
        for (spec, written) in table {
            assert_eq!(to_value(&spec).unwrap(), written);
            assert_eq!(from_value::<InputSpec>(written).unwrap(), spec);
        }
    }

    #[test]
    fn specs_of_run_directories_of_format_1_are_read() {
        let columns = json!([{"name": "user", "vocabulary": 5}, {"name": "film", "vocabulary": 7}]);
        let ids = InputSpec::ids(vec![column("user", 5), column("film", 7)]);
        let table = [
            (json!({"kind": "dense", "width": 64}), InputSpec::dense(64)),
            (json!({"kind": "ids", "columns": columns}), ids.clone()),
            (json!({"kind": "mixed", "columns": columns, "width": 3}), ids.with_dense([3])),
        ];
        for (written, spec) in table {
            assert_eq!(from_value::<InputSpec>(written).unwrap(), spec);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let refused = |text: Value, says: &str| {
            let error = from_value::<InputSpec>(text.clone()).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        };
        refused(json!({"kind": "images"}), "unknown variant `images`");
        refused(json!({"kind": "dense"}), "the kind dense has a width");
        refused(json!({"kind": "ids", "columns": [], "width": 3}), "the kind dense has a width");
        refused(json!({"kind": "dense", "dense": [3]}), "the kind dense has a width");
        refused(json!({"width": 3}), "a width stands beside a kind only");
        refused(json!({"pictures": [3]}), "unknown field `pictures`");
        refused(json!({"dense": [1, 2, 3, 4, 5, 6]}), "cannot have the shape [1, 2, 3, 4, 5, 6]");
        refused(json!({"dense": [usize::MAX, 2]}), "cannot have the shape");
    }

    #[test]
    fn parts_are_told_in_words() {
        let two = InputSpec::ids(vec![column("user", 5), column("film", 7)]);
        assert_eq!(two.to_string(), "2 columns of ids");
        assert_eq!(two.with_dense([2, 3]).to_string(), "2 columns of ids and 6 numbers");
        assert_eq!(InputSpec::tokens(5, 12).to_string(), "up to 12 tokens");
        assert_eq!(InputSpec::default().to_string(), "no inputs");
    }

    #[test]
    fn shapes_have_the_rows_in_front() {
        assert_eq!(InputSpec::default().with_dense([3, 8, 9]).dense_shape(5)[..], [5, 3, 8, 9]);
        assert_eq!(InputSpec::dense(4).dense_shape(0)[..], [0, 4]);
        assert_eq!(InputSpec::default().dense_width(), 0);
    }

    #[test]
    fn a_vector_takes_as_many_numbers_in_any_shape() {
        let vector = InputSpec::dense(12);
        let picture = InputSpec::default().with_dense([1, 3, 4]);
        assert!(vector.takes(&vector) && vector.takes(&picture) && picture.takes(&picture));
        assert!(!picture.takes(&vector));
        assert!(!InputSpec::dense(11).takes(&picture));
        assert!(!InputSpec::dense(1).takes(&InputSpec::default()));
        assert!(!InputSpec::default().takes(&vector));
        let ids = InputSpec::ids(vec![column("user", 5)]);
        assert!(!ids.takes(&InputSpec::ids(vec![column("user", 6)])));
        assert!(!InputSpec::tokens(5, 6).takes(&InputSpec::tokens(5, 7)));
    }
}
