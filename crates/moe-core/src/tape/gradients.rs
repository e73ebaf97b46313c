use std::collections::HashMap;

use crate::buffer::Buffer;
use crate::parameter::{Parameter, ParameterId};
use crate::real::Real;
use crate::tensor::{Shape, Tensor};

use super::Var;

/// The gradient of one tensor.
#[derive(Clone, Debug)]
pub enum Gradient {
    /// Every element.
    Dense(Tensor),
    /// Some rows; zero elsewhere. What embeddings get.
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
    /// Row `ids[i]` of a `[V, E]` matrix gets row `i` of `values` `[B, E]`; rows named more than once get the
    /// sum, first occurrence first.
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

    /// Their values, one row each.
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
    /// Shape of the tensor that it is the gradient of.
    pub fn shape(&self) -> Shape {
        match self {
            Gradient::Dense(tensor) => *tensor.shape(),
            Gradient::Rows(rows) => rows.shape,
        }
    }

    /// All elements.
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

    /// The stored numbers: all elements, or those of the present rows.
    pub fn stored(&self) -> &Tensor {
        match self {
            Gradient::Dense(tensor) => tensor,
            Gradient::Rows(rows) => &rows.values,
        }
    }

    pub(super) fn add_assign(&mut self, other: Gradient) {
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

/// What a backward pass found: the gradient of every parameter and variable that the result depends on.
#[derive(Debug)]
pub struct Gradients {
    tape: u64,
    /// Of the tape's leaves; behind them, of parameters that only other passes used.
    leaves: Vec<Option<Box<Gradient>>>,
    /// Number of values of the tape that `leaves` begins with.
    values: usize,
    /// Where in `leaves`.
    parameters: HashMap<ParameterId, u32>,
}

impl Gradients {
    pub(super) fn new(
        tape: u64,
        leaves: Vec<Option<Box<Gradient>>>,
        mut parameters: HashMap<ParameterId, u32>,
    ) -> Self {
        let values = leaves.len();
        parameters.retain(|_, index| (*index as usize) < values);
        Gradients { tape, leaves, values, parameters }
    }

    /// Takes the gradient of a leaf out.
    pub(super) fn take_leaf(&mut self, index: u32) -> Option<Gradient> {
        self.leaves.get_mut(index as usize)?.take().map(|gradient| *gradient)
    }

    /// The gradient of a parameter; `None` if the result does not depend on it.
    pub fn get(&self, parameter: &Parameter) -> Option<&Gradient> {
        let index = *self.parameters.get(&parameter.id())?;
        self.leaves[index as usize].as_deref()
    }

    /// Adds the gradients of parameters that another pass found, on any tape: the sum over the parts of a batch.
    /// Gradients of the other pass's variables are dropped.
    pub fn accumulate(&mut self, mut other: Gradients) {
        for (id, index) in std::mem::take(&mut other.parameters) {
            let Some(gradient) = other.take_leaf(index) else {
                continue;
            };
            match self.parameters.get(&id).map(|&index| &mut self.leaves[index as usize]) {
                Some(Some(present)) => present.add_assign(gradient),
                Some(empty) => *empty = Some(Box::new(gradient)),
                None => {
                    self.parameters.insert(id, self.leaves.len() as u32);
                    self.leaves.push(Some(Box::new(gradient)));
                }
            }
        }
    }

    /// The gradient of a leaf made by [`Tape::variable`](super::Tape::variable), all elements.
    ///
    /// # Panics
    /// If the variable is of another tape.
    pub fn wrt(&self, var: Var<'_>) -> Option<Tensor> {
        assert_eq!(self.tape, var.tape.id, "gradient of a variable of another tape");
        let gradient = self.leaves[..self.values].get(var.index())?.as_deref();
        gradient.cloned().map(Gradient::into_dense)
    }
}
