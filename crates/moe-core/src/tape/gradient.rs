//! The gradient of one tensor.

use crate::buffer::Buffer;
use crate::real::Real;
use crate::tensor::{Shape, Tensor};

/// The gradient of one tensor.
#[derive(Clone, Debug)]
pub enum Gradient {
    /// All elements.
    Dense(Tensor),
    /// Some rows, zero elsewhere: the gradient of embeddings.
    Rows(Box<RowGradient>),
}

/// A gradient that is zero outside some rows of a matrix.
#[derive(Clone, Debug)]
pub struct RowGradient {
    shape: Shape,
    /// Ascending, each once.
    rows: Buffer<u32>,
    /// `[rows.len(), columns]`
    values: Tensor,
}

impl RowGradient {
    /// Adds row `i` of `values` `[B, E]` to row `ids[i]` of a `[V, E]` matrix of zeros. A row that is named more than once gets
    /// the sum, first occurrence first.
    ///
    /// # Panics
    /// If an id is not below V, or the sizes do not agree.
    pub fn scatter(shape: Shape, ids: &[u32], values: &Tensor) -> Self {
        let (vocabulary, width) = shape.as_matrix();
        assert_eq!((ids.len(), width), (values.rows(), values.cols()), "one row of values per id");
        let mut order = Buffer::<u32>::unspecified(ids.len());
        order.iter_mut().enumerate().for_each(|(i, o)| *o = i as u32);
        order.sort_unstable_by_key(|&i| (ids[i as usize], i));
        let mut rows = Buffer::<u32>::unspecified(ids.len());
        let mut sums = Buffer::<Real>::unspecified(values.len());
        let mut count = 0;
        for &i in order.iter() {
            let id = ids[i as usize];
            let value = values.row(i as usize);
            if count > 0 && rows[count - 1] == id {
                let sum = &mut sums[(count - 1) * width..count * width];
                sum.iter_mut().zip(value).for_each(|(sum, v)| *sum += v);
            } else {
                assert!((id as usize) < vocabulary, "row {id} of a matrix of {vocabulary} rows");
                rows[count] = id;
                sums[count * width..(count + 1) * width].copy_from_slice(value);
                count += 1;
            }
        }
        rows.truncate(count);
        sums.truncate(count * width);
        RowGradient { shape, values: Tensor::from_buffer([count, width], sums), rows }
    }

    /// Shape of the whole matrix.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The rows that are present, ascending.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The values of [`RowGradient::rows`], one row each.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// Adds the rows to a dense gradient.
    fn add_to(&self, dense: &mut Tensor) {
        let width = self.values.cols();
        let out = dense.as_mut_slice();
        for (i, &row) in self.rows.iter().enumerate() {
            let start = row as usize * width;
            for (sum, v) in out[start..start + width].iter_mut().zip(self.values.row(i)) {
                *sum += v;
            }
        }
    }

    fn merge(&self, other: &RowGradient) -> RowGradient {
        let ids = [&self.rows[..], &other.rows].concat();
        let values = [self.values.as_slice(), other.values.as_slice()].concat();
        let values = Tensor::new([ids.len(), self.values.cols()], values);
        RowGradient::scatter(self.shape, &ids, &values)
    }
}

impl Gradient {
    /// Shape of the tensor that it belongs to.
    pub fn shape(&self) -> Shape {
        match self {
            Gradient::Dense(tensor) => *tensor.shape(),
            Gradient::Rows(rows) => rows.shape,
        }
    }

    /// The gradient with all elements.
    pub fn into_dense(self) -> Tensor {
        match self {
            Gradient::Dense(tensor) => tensor,
            Gradient::Rows(rows) => {
                let mut dense = Tensor::zeros(&rows.shape[..]);
                rows.add_to(&mut dense);
                dense
            }
        }
    }

    /// The stored values: all elements, or those of the present rows.
    pub fn stored(&self) -> &Tensor {
        match self {
            Gradient::Dense(tensor) => tensor,
            Gradient::Rows(rows) => &rows.values,
        }
    }

    /// The values of [`Gradient::stored`], writable.
    pub fn stored_mut(&mut self) -> &mut [Real] {
        match self {
            Gradient::Dense(tensor) => tensor.as_mut_slice(),
            Gradient::Rows(rows) => rows.values.as_mut_slice(),
        }
    }

    /// Adds another gradient of the tensor: elements of `other` to elements of this one, in one addition each. Rows of both
    /// stay rows; with a dense gradient on either side the sum is dense.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn add_assign(&mut self, other: Gradient) {
        let (own, others) = (self.shape(), other.shape());
        assert_eq!(own, others, "cannot add the gradient of {others:?} to that of {own:?}");
        match (&mut *self, other) {
            (Gradient::Dense(a), Gradient::Dense(b)) => a.add_assign(&b),
            (Gradient::Dense(a), Gradient::Rows(b)) => b.add_to(a),
            (Gradient::Rows(a), Gradient::Rows(b)) => **a = a.merge(&b),
            (Gradient::Rows(a), Gradient::Dense(mut b)) => {
                a.add_to(&mut b);
                *self = Gradient::Dense(b);
            }
        }
    }
}
