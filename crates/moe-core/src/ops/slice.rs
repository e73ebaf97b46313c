use std::ops::Range;

use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

use super::axis::{Around, resized};

struct Slice {
    axis: usize,
    range: Range<usize>,
}

impl Slice {
    /// The position of the slice in each outer slab of the whole, and the size of a slab.
    fn place(&self, whole: &Tensor) -> (Range<usize>, usize) {
        let around = Around::new(self.name(), whole.shape(), self.axis);
        (self.range.start * around.inner..self.range.end * around.inner, around.slab())
    }
}

impl Operator for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let x = inputs[0];
        let (place, slab) = self.place(x);
        let mut y = Tensor::unspecified(resized(x.shape(), self.axis, self.range.len()));
        let parts = y.as_mut_slice().chunks_exact_mut(place.len().max(1));
        for (part, x) in parts.zip(x.as_slice().chunks_exact(slab.max(1))) {
            part.copy_from_slice(&x[place.clone()]);
        }
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut dx = Tensor::zeros(*at.inputs[0].shape());
        let (place, slab) = self.place(at.inputs[0]);
        let parts = at.cotangent.as_slice().chunks_exact(place.len().max(1));
        for (part, dx) in parts.zip(dx.as_mut_slice().chunks_exact_mut(slab.max(1))) {
            dx[place.clone()].copy_from_slice(part);
        }
        gradients.add(0, dx);
    }
}

impl<'t> Var<'t> {
    /// A range of one axis.
    ///
    /// # Shapes
    /// `[…, C, …]` → `[…, range.len(), …]`
    ///
    /// # Panics
    /// If there is no such axis, or the range does not lie within it.
    pub fn slice(self, axis: usize, range: Range<usize>) -> Var<'t> {
        let shape = self.shape();
        let length = Around::new("slice", &shape, axis).length;
        assert!(
            range.start <= range.end && range.end <= length,
            "slice: {range:?} of axis {axis} of shape {shape:?}"
        );
        self.tape().apply(Slice { axis, range }, &[self])
    }
}
