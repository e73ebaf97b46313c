use crate::tensor::{Shape, Tensor};

/// A shape split at one of its axes: outer slabs of `[length, inner]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    pub(super) length: usize,
    pub(super) inner: usize,
}

impl Around {
    /// # Panics
    /// If there is no such axis. The message names `operator`.
    pub(super) fn new(operator: &str, shape: &Shape, axis: usize) -> Self {
        assert!(axis < shape.rank(), "{operator}: axis {axis} of a tensor of shape {shape:?}");
        Around { length: shape[axis], inner: shape[axis + 1..].iter().product() }
    }

    /// Elements of a slab.
    pub(super) fn slab(&self) -> usize {
        self.length * self.inner
    }
}

/// The shape with another length of one axis.
pub(super) fn resized(shape: &Shape, axis: usize, length: usize) -> Shape {
    let mut dims = [0; Shape::MAX_RANK];
    dims[..shape.rank()].copy_from_slice(shape);
    dims[axis] = length;
    Shape::new(&dims[..shape.rank()])
}

/// A new tensor whose shape lacks one axis.
pub(super) fn without_axis(shape: &Shape, axis: usize) -> Tensor {
    Tensor::unspecified([&shape[..axis], &shape[axis + 1..]].concat().as_slice())
}
