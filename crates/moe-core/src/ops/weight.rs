//! Right factors of products.

use crate::kernel::mat::Mat;
use crate::kernel::packed::Packed;
use crate::tensor::{Shape, Tensor};

/// The right factor of a product, or one for each expert.
///
/// A weight that serves many products can be copied once in the order in which they read it:
///
/// ```
/// use moe_core::Tensor;
/// use moe_core::ops::{Weight, affine_then};
///
/// let (x, w) = (Tensor::full([8, 4], 1.0), Tensor::full([4, 32], 0.5));
/// let packed = Weight::pack(&w);
/// let (mut y, mut expected) = (vec![0.0; 8 * 32], vec![0.0; 8 * 32]);
/// affine_then(&x, Weight::new(&w, packed.as_ref()), None, None, &mut y);
/// affine_then(&x, (&w).into(), None, None, &mut expected);
/// assert_eq!(y, expected);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Weight<'a> {
    value: &'a Tensor,
    packed: Option<&'a Packed>,
}

impl<'a> Weight<'a> {
    /// A weight, with the copy of the same values that [`Weight::pack`] made, if there is one.
    ///
    /// # Shapes
    /// `[D, O]`, or `[N, D, O]` for N experts
    pub fn new(value: &'a Tensor, packed: Option<&'a Packed>) -> Self {
        Weight { value, packed }
    }

    /// Copies a weight in the order in which products of several rows read it, so that they need not copy it each time. The
    /// results have the same bits. `None` if the columns do not fill the registers of this machine.
    ///
    /// # Shapes
    /// `[D, O]`, or `[N, D, O]` for N experts
    pub fn pack(value: &Tensor) -> Option<Packed> {
        let (inputs, outputs) = matrix_shape(value);
        Packed::new(value.as_slice(), inputs, outputs)
    }

    /// The shape `[D, O]`, or `[N, D, O]` for N experts.
    pub fn shape(&self) -> &'a Shape {
        self.value.shape()
    }

    /// Number of outputs (O).
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

/// Inputs and outputs (D and O).
fn matrix_shape(value: &Tensor) -> (usize, usize) {
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
    use crate::dispatch::assignments::Assignments;
    use crate::dispatch::plan::ExpertPlan;
    use crate::ops::linear::{affine, affine_then};
    use crate::ops::sparse::grouped_affine;
    use crate::random::generator::chacha;
    use crate::random::initial::uniform;

    /// The weight of a dense layer, and of three experts with one matrix each.
    #[test]
    fn a_packed_weight_gives_the_same_bits() {
        let mut rng = chacha(1, "tests", 0);
        let mut of = |shape: &[usize]| uniform(shape, 1.0, &mut rng);
        let (rows, x, bias) = (40, of(&[40, 24]), of(&[3, 32]));
        let (layer, experts) = (of(&[24, 32]), of(&[3, 24, 32]));
        let chosen = (0..rows as u32).map(|row| row * 3 / rows as u32).collect();
        let assignments = Assignments::new(3, (0..=rows as u32).collect(), chosen).unwrap();
        let plan = ExpertPlan::new(&[&assignments]);
        let computed = |layer: Weight<'_>, experts: Weight<'_>| {
            let (mut y, mut z) = (vec![0.0; rows * 32], vec![0.0; rows * 32]);
            affine_then(&x, layer, None, None, &mut y);
            grouped_affine(&x, experts, &bias, &plan, None, &mut z);
            (y, z)
        };
        let packed = [&layer, &experts].map(|value| Weight::pack(value).expect("32 columns"));
        assert_eq!(
            computed(
                Weight::new(&layer, Some(&packed[0])),
                Weight::new(&experts, Some(&packed[1]))
            ),
            computed((&layer).into(), (&experts).into())
        );
    }

    #[test]
    fn columns_that_fill_no_register_are_not_packed() {
        assert!(Weight::pack(&Tensor::zeros([24, 32])).is_some());
        assert!(Weight::pack(&Tensor::zeros([24, 3])).is_none());
    }

    #[test]
    #[should_panic(expected = "inner dimensions differ")]
    fn a_dense_layer_refuses_the_weights_of_experts() {
        affine(&Tensor::zeros([2, 4]), &Tensor::zeros([3, 4, 5]), None, &mut [0.0; 10]);
    }
}
