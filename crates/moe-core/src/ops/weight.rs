use crate::kernel::{Mat, Packed};
use crate::tensor::{Shape, Tensor};

/// The right factor of a product, or one for each expert.
#[derive(Clone, Copy, Debug)]
pub struct Weight<'a> {
    value: &'a Tensor,
    packed: Option<&'a Packed>,
}

impl<'a> Weight<'a> {
    /// With the copy that products of several rows read, of the same numbers.
    pub(crate) fn with(value: &'a Tensor, packed: Option<&'a Packed>) -> Self {
        Weight { value, packed }
    }

    /// `[D, O]`, or `[N, D, O]` for N experts.
    pub fn shape(&self) -> &'a Shape {
        self.value.shape()
    }

    /// O.
    pub fn cols(&self) -> usize {
        self.value.cols()
    }

    /// The matrix of an expert, or the only one.
    pub(super) fn matrix(&self, expert: usize) -> Mat<'a> {
        let (inputs, outputs) = matrix_shape(self.value);
        let size = inputs * outputs;
        let matrix = Mat::new(&self.value.as_slice()[expert * size..][..size], inputs, outputs);
        self.packed.map_or(matrix, |packed| packed.of(expert, matrix))
    }
}

/// D and O.
pub(crate) fn matrix_shape(value: &Tensor) -> (usize, usize) {
    match value.shape()[..] {
        [_, inputs, outputs] => (inputs, outputs),
        _ => value.shape().as_matrix(),
    }
}

impl<'a> From<&'a Tensor> for Weight<'a> {
    fn from(value: &'a Tensor) -> Self {
        Weight { value, packed: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::affine;

    #[test]
    #[should_panic(expected = "inner dimensions differ")]
    fn a_dense_layer_refuses_the_weights_of_experts() {
        affine(&Tensor::zeros([2, 4]), &Tensor::zeros([3, 4, 5]), None, &mut [0.0; 10]);
    }
}
