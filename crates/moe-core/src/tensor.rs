//! Contiguous row-major tensors that are cheap to clone.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use ndarray::{ArrayD, ArrayViewD, IxDyn};

use crate::buffer::{Buffer, Shared};
use crate::kernel::geometry::PIECE;
use crate::kernel::mat::Mat;
use crate::kernel::parallel::for_pieces;
use crate::kernel::rows::add;
use crate::real::Real;

/// Dimensions of a tensor: at most [`Shape::MAX_RANK`], stored inline.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; Shape::MAX_RANK],
    rank: u8,
}

impl Shape {
    /// The largest number of axes a tensor may have.
    pub const MAX_RANK: usize = 6;

    /// The shape with these dimensions.
    ///
    /// # Panics
    /// If there are more than [`Shape::MAX_RANK`] of them.
    pub fn new(dims: &[usize]) -> Self {
        assert!(
            dims.len() <= Self::MAX_RANK,
            "a tensor has at most {} axes, not {dims:?}",
            Self::MAX_RANK
        );
        let mut shape = Shape { dims: [0; Self::MAX_RANK], rank: dims.len() as u8 };
        shape.dims[..dims.len()].copy_from_slice(dims);
        shape
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// Number of elements.
    pub fn size(&self) -> usize {
        self.iter().product()
    }

    /// The shape seen as a matrix: the last axis, and all others in one.
    ///
    /// A scalar is `(1, 1)`, a vector of length `n` is `(1, n)`.
    pub fn as_matrix(&self) -> (usize, usize) {
        match self.split_last() {
            None => (1, 1),
            Some((&cols, leading)) => (leading.iter().product(), cols),
        }
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.dims[..self.rank as usize]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deref().fmt(f)
    }
}

impl<const R: usize> From<[usize; R]> for Shape {
    fn from(dims: [usize; R]) -> Self {
        Shape::new(&dims)
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Shape::new(dims)
    }
}

/// A contiguous row-major tensor. A clone shares the buffer, which returns to a pool when the last one drops; a write
/// to a shared buffer copies it first.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Tensor {
    shape: Shape,
    data: Shared<Real>,
}

/// The serialised form of a tensor.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Tensor")]
struct Stored {
    shape: Vec<usize>,
    data: Vec<Real>,
}

impl From<Tensor> for Stored {
    fn from(tensor: Tensor) -> Self {
        Stored { shape: tensor.shape.to_vec(), data: tensor.data.to_vec() }
    }
}

impl TryFrom<Stored> for Tensor {
    type Error = String;

    fn try_from(Stored { shape, data }: Stored) -> Result<Self, String> {
        let size = shape.iter().try_fold(1usize, |size, &dim| size.checked_mul(dim));
        if shape.len() > Shape::MAX_RANK || size != Some(data.len()) {
            return Err(format!("a tensor of shape {shape:?} cannot hold {} elements", data.len()));
        }
        Ok(Tensor::new(shape.as_slice(), data))
    }
}

impl Tensor {
    /// A tensor over `data`, row-major.
    ///
    /// # Panics
    /// If `data` does not hold exactly the elements of `shape`.
    pub fn new(shape: impl Into<Shape>, data: Vec<Real>) -> Self {
        Tensor::from_buffer(shape, data.into())
    }

    /// A tensor over the elements of a buffer, row-major.
    ///
    /// # Panics
    /// If the buffer does not hold exactly the elements of `shape`.
    pub fn from_buffer(shape: impl Into<Shape>, data: Buffer<Real>) -> Self {
        let shape = shape.into();
        assert_eq!(
            shape.size(),
            data.len(),
            "a tensor of shape {shape:?} needs {} elements, got {}",
            shape.size(),
            data.len()
        );
        Tensor { shape, data: Shared::new(data) }
    }

    /// All elements equal to `value`.
    pub fn full(shape: impl Into<Shape>, value: Real) -> Self {
        let shape = shape.into();
        Tensor::from_buffer(shape, Buffer::filled(shape.size(), value))
    }

    /// Elements of unspecified value, for a kernel that writes all of them.
    pub fn unspecified(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Tensor::from_buffer(shape, Buffer::unspecified(shape.size()))
    }

    /// Changes the shape, with elements of unspecified value: in place, if they fit and no other tensor shares the buffer.
    pub fn resize(&mut self, shape: impl Into<Shape>) {
        let shape = shape.into();
        match self.data.get_mut() {
            Some(buffer) => buffer.resize(shape.size()),
            None => self.data = Shared::new(Buffer::unspecified(shape.size())),
        }
        self.shape = shape;
    }

    /// All elements zero.
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        Tensor::full(shape, 0.0)
    }

    /// A tensor without axes.
    pub fn scalar(value: Real) -> Self {
        Tensor::full([], value)
    }

    /// Elements `f(i)` by their row-major position i.
    pub fn from_fn(shape: impl Into<Shape>, mut f: impl FnMut(usize) -> Real) -> Self {
        let mut tensor = Tensor::unspecified(shape);
        tensor.as_mut_slice().iter_mut().enumerate().for_each(|(i, v)| *v = f(i));
        tensor
    }

    /// A copy of an ndarray of any layout. ndarray is the interchange type with other crates:
    ///
    /// ```
    /// use moe_core::Tensor;
    /// use moe_core::ndarray::arr2;
    ///
    /// let array = arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    /// let tensor = Tensor::from_array(array.t().into_dyn());
    /// assert_eq!((&tensor.shape()[..], tensor.row(1)), (&[3, 2][..], &[2.0, 5.0][..]));
    /// assert_eq!(tensor.to_array(), array.t().into_dyn());
    /// ```
    ///
    /// # Panics
    /// If the array has more than [`Shape::MAX_RANK`] axes.
    pub fn from_array(array: ArrayViewD<'_, Real>) -> Self {
        Tensor::new(array.shape(), array.iter().copied().collect())
    }

    /// A copy as an ndarray.
    pub fn to_array(&self) -> ArrayD<Real> {
        self.view().to_owned()
    }

    /// The tensor as an ndarray view.
    pub fn view(&self) -> ArrayViewD<'_, Real> {
        ArrayViewD::from_shape(IxDyn(&self.shape), &self.data).expect("a tensor is contiguous")
    }

    /// The tensor as a matrix for products, leading axes merged (see [`Shape::as_matrix`]).
    pub fn as_mat(&self) -> Mat<'_> {
        Mat::new(&self.data, self.rows(), self.cols())
    }

    /// The dimensions.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Number of rows, all axes but the last merged.
    pub fn rows(&self) -> usize {
        self.shape.as_matrix().0
    }

    /// Length of the last axis (1 for a scalar).
    pub fn cols(&self) -> usize {
        self.shape.as_matrix().1
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Returns whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The elements, row-major.
    pub fn as_slice(&self) -> &[Real] {
        &self.data
    }

    /// The elements, writable; copies first if the buffer is shared.
    pub fn as_mut_slice(&mut self) -> &mut [Real] {
        self.data.make_mut()
    }

    /// Row `r` of the matrix view.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, r: usize) -> &[Real] {
        let cols = self.cols();
        &self.data[r * cols..(r + 1) * cols]
    }

    /// The only element.
    ///
    /// # Panics
    /// If the tensor does not have exactly one element.
    pub fn item(&self) -> Real {
        assert_eq!(self.len(), 1, "item() of a tensor of shape {:?}", self.shape);
        self.data[0]
    }

    /// The same elements in another shape.
    ///
    /// # Panics
    /// If the number of elements differs.
    pub fn reshape(mut self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(self.shape.size(), shape.size(), "cannot reshape {:?} to {shape:?}", self.shape);
        self.shape = shape;
        self
    }

    /// Adds `other`, element by element.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn add_assign(&mut self, other: &Tensor) {
        assert_eq!(self.shape, other.shape, "cannot add {:?} to {:?}", other.shape, self.shape);
        let b = other.as_slice();
        for_pieces(b.len(), self.as_mut_slice(), PIECE, |i, a| add(a, &b[i * PIECE..]));
    }

    /// A new tensor of the same shape with `f` applied to every element.
    pub fn map(&self, mut f: impl FnMut(Real) -> Real) -> Self {
        Tensor::from_fn(self.shape, |i| f(self.data[i]))
    }
}

/// No elements.
impl Default for Tensor {
    fn default() -> Self {
        Tensor::zeros([0])
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        write!(f, "Tensor{:?} [", self.shape)?;
        for (i, v) in self.data.iter().take(SHOWN).enumerate() {
            write!(f, "{}{v}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, "{}]", if self.len() > SHOWN { ", …" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_shares_until_it_is_written() {
        let a = Tensor::zeros([2, 2]);
        let mut b = a.clone();
        b.as_mut_slice()[0] = 1.0;
        assert_eq!(a.as_slice(), [0.0; 4]);
        assert_eq!(b.as_slice()[0], 1.0);
    }

    #[test]
    fn arrays_of_any_layout_come_in_row_major() {
        let a = ndarray::arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        let t = Tensor::from_array(a.t().into_dyn());
        assert_eq!(&t.shape()[..], [3, 2]);
        assert_eq!(t.as_slice(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(t.to_array(), a.t().into_dyn());
    }

    #[test]
    fn memory_is_used_again_where_it_fits_and_is_not_shared() {
        for most in [12, 6000] {
            let mut a = Tensor::default();
            a.resize([most / 2, 2]);
            let place = a.as_slice().as_ptr();
            a.resize([1, 3]);
            assert_eq!((&a.shape()[..], a.len(), a.as_slice().as_ptr()), (&[1, 3][..], 3, place));
            a.resize([most]);
            assert_eq!((a.len(), a.as_slice().as_ptr()), (most, place));
            let b = a.clone();
            a.resize([2]);
            assert_eq!((a.len(), b.len()), (2, most));
            assert_ne!(a.as_slice().as_ptr(), b.as_slice().as_ptr());
        }
    }

    #[test]
    #[should_panic(expected = "needs 4 elements, got 3")]
    fn wrong_length_names_both() {
        let _ = Tensor::new([2, 2], vec![0.0; 3]);
    }
}
