use crate::inputs::input_spec::InputSpec;
use crate::inputs::tokens::Tokens;
use crate::real::Real;
use crate::tensor::Tensor;

/// The inputs of B rows, as described by an [`InputSpec`]. Parts that a model does not take are empty; all others have B
/// rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    /// One vector of B ids per column.
    pub ids: Vec<Vec<u32>>,
    /// The dense values, `[B, D]` or `[B, C, H, W]`.
    pub dense: Option<Tensor>,
    /// The tokens of each row.
    pub tokens: Option<Tokens>,
}

/// The inputs of one row. Parts that a model does not take are empty.
///
/// ```
/// use moe_core::batch::InputRow;
///
/// let mixed = InputRow { dense: &[0.5, 1.0], ..InputRow::ids(&[7, 3]) };
/// assert!(mixed.tokens.is_empty());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InputRow<'a> {
    /// One id per column.
    pub ids: &'a [u32],
    /// The dense values, in row-major order if they are a picture.
    pub dense: &'a [Real],
    /// The tokens.
    pub tokens: &'a [u32],
}

impl Inputs {
    /// Ids: one vector of B ids per column.
    pub fn ids(ids: Vec<Vec<u32>>) -> Self {
        Inputs { ids, ..Inputs::default() }
    }

    /// Dense values, `[B, D]` or `[B, C, H, W]`.
    pub fn dense(values: Tensor) -> Self {
        Inputs { dense: Some(values), ..Inputs::default() }
    }

    /// Tokens.
    pub fn tokens(tokens: Tokens) -> Self {
        Inputs { tokens: Some(tokens), ..Inputs::default() }
    }

    /// The same with these dense values.
    pub fn with_dense(self, values: Tensor) -> Self {
        Inputs { dense: Some(values), ..self }
    }

    /// Number of rows (B): that of the first part that is not empty, 0 without any.
    pub fn rows(&self) -> usize {
        let dense = || self.dense.as_ref().map(|x| x.shape().first().copied().unwrap_or(0));
        let tokens = || self.tokens.as_ref().map(Tokens::rows);
        self.ids.first().map(Vec::len).or_else(dense).or_else(tokens).unwrap_or(0)
    }

    /// The dense values as a vector for each row, `[B, D]`. They share the memory of [`Inputs::dense`].
    pub fn dense_rows(&self) -> Option<Tensor> {
        self.dense.as_ref().map(|x| {
            let rows = x.shape().first().copied().unwrap_or(1);
            let width = x.shape().iter().skip(1).product();
            x.clone().reshape([rows, width])
        })
    }

    /// Changes the inputs to those of one row, in the same memory if they had the same parts.
    ///
    /// # Panics
    /// If `row` does not have the dense values of `spec`.
    pub fn set_to_row(&mut self, spec: &InputSpec, row: &InputRow<'_>) {
        let Inputs { ids, dense, tokens } = self;
        ids.resize_with(row.ids.len(), Vec::new);
        for (column, &id) in ids.iter_mut().zip(row.ids) {
            column.clear();
            column.push(id);
        }
        if spec.dense.is_empty() {
            *dense = None;
        } else {
            let x = dense.get_or_insert_default();
            x.resize(spec.dense_shape(1));
            x.as_mut_slice().copy_from_slice(row.dense);
        }
        if spec.tokens.is_none() {
            *tokens = None;
        } else {
            let tokens = tokens.get_or_insert_default();
            tokens.truncate(0);
            tokens.push(row.tokens);
        }
    }
}

impl<'a> InputRow<'a> {
    /// One id per column.
    pub fn ids(ids: &'a [u32]) -> Self {
        InputRow { ids, ..InputRow::default() }
    }

    /// Dense values.
    pub fn dense(values: &'a [Real]) -> Self {
        InputRow { dense: values, ..InputRow::default() }
    }

    /// Tokens.
    pub fn tokens(tokens: &'a [u32]) -> Self {
        InputRow { tokens, ..InputRow::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::input_spec::{IdColumn, TokenSpec};

    #[test]
    fn rows_are_those_of_any_part() {
        assert_eq!(Inputs::default().rows(), 0);
        assert_eq!(Inputs::ids(vec![vec![1, 2], vec![3, 4]]).rows(), 2);
        assert_eq!(Inputs::dense(Tensor::zeros([3, 1, 2, 2])).rows(), 3);
        assert_eq!(Inputs::tokens(Tokens::from_rows([[1], [2]])).rows(), 2);
    }

    #[test]
    fn dense_rows_share_the_memory_of_pictures() {
        let pictures = Tensor::from_fn([2, 1, 2, 3], |i| i as Real);
        let inputs = Inputs::dense(pictures.clone());
        let rows = inputs.dense_rows().unwrap();
        assert_eq!(rows.shape()[..], [2, 6]);
        assert_eq!(rows.row(1), &pictures.as_slice()[6..]);
        assert_eq!(rows.as_slice().as_ptr(), pictures.as_slice().as_ptr());
        assert_eq!(
            Inputs::dense(Tensor::zeros([0, 3, 4])).dense_rows().unwrap().shape()[..],
            [0, 12]
        );
        assert_eq!(Inputs::ids(vec![vec![1]]).dense_rows(), None);
    }

    #[test]
    fn inputs_become_a_row_with_the_parts_of_the_spec() {
        let column = |name: &str| IdColumn { name: name.into(), vocabulary: 10 };
        let all = InputSpec {
            columns: vec![column("user"), column("film")],
            dense: vec![1, 2, 2],
            tokens: Some(TokenSpec { vocabulary: 10, longest: 4 }),
        };
        let dense = [0.5, 1.5, 2.5, 3.5];
        let mut inputs = Inputs::default();
        for ids in [[1, 2], [3, 4]] {
            inputs.set_to_row(&all, &InputRow { ids: &ids, dense: &dense, tokens: &[7, 8, 9] });
            assert_eq!(inputs.ids, ids.map(|id| vec![id]));
            assert_eq!(inputs.dense, Some(Tensor::new([1, 1, 2, 2], dense.to_vec())));
            assert_eq!(inputs.tokens, Some(Tokens::from_rows([[7, 8, 9]])));
        }
        inputs.set_to_row(&InputSpec::tokens(10, 4), &InputRow::tokens(&[1]));
        assert_eq!(inputs, Inputs::tokens(Tokens::from_rows([[1]])));
        inputs.set_to_row(&InputSpec::dense(4), &InputRow::dense(&dense));
        assert_eq!(inputs, Inputs::dense(Tensor::new([1, 4], dense.to_vec())));
        inputs.set_to_row(&InputSpec::ids(vec![column("user")]), &InputRow::ids(&[6]));
        assert_eq!(inputs, Inputs::ids(vec![vec![6]]));
    }
}
