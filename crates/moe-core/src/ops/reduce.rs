use crate::kernel::parallel::for_pieces;
use crate::kernel::reduce;
use crate::real::Real;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

use super::axis::{Around, without_axis};

struct Sum;

impl Operator for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        Tensor::scalar(reduce::sum(inputs[0].as_slice()))
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        gradients.add(0, Tensor::full(*at.inputs[0].shape(), at.cotangent.item()));
    }
}

struct SumAxis {
    axis: usize,
}

impl Operator for SumAxis {
    fn name(&self) -> &'static str {
        "sum_axis"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let x = inputs[0];
        let around = Around::new(self.name(), x.shape(), self.axis);
        let mut y = without_axis(x.shape(), self.axis);
        reduce::sum_axis(x.as_slice(), around.length, around.inner, y.as_mut_slice());
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut dx = Tensor::unspecified(*at.inputs[0].shape());
        let around = Around::new(self.name(), dx.shape(), self.axis);
        let inner = around.inner.max(1);
        for_pieces(dx.len(), dx.as_mut_slice(), around.slab().max(1), |outer, slab| {
            let dy = &at.cotangent.as_slice()[outer * inner..][..inner];
            slab.chunks_exact_mut(inner).for_each(|row| row.copy_from_slice(dy));
        });
        gradients.add(0, dx);
    }
}

struct MaxAxis {
    axis: usize,
}

impl Operator for MaxAxis {
    fn name(&self) -> &'static str {
        "max_axis"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let x = inputs[0];
        let around = Around::new(self.name(), x.shape(), self.axis);
        let mut y = without_axis(x.shape(), self.axis);
        reduce::max_axis(x.as_slice(), around.length, around.inner, y.as_mut_slice());
        y
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let x = at.inputs[0];
        let mut dx = Tensor::zeros(*x.shape());
        let around = Around::new(self.name(), x.shape(), self.axis);
        let (slab, inner) = (around.slab().max(1), around.inner);
        for_pieces(x.len(), dx.as_mut_slice(), slab, |outer, dx| {
            let x = &x.as_slice()[outer * slab..][..slab];
            for i in 0..inner {
                let largest = at.output.as_slice()[outer * inner + i];
                // If the largest is not NaN, no element is.
                let mut column = (i..slab).step_by(inner);
                let first = column.find(|&at| x[at] == largest || x[at].is_nan());
                dx[first.expect("one of them")] = at.cotangent.as_slice()[outer * inner + i];
            }
        });
        gradients.add(0, dx);
    }
}

impl<'t> Var<'t> {
    /// The sum of all elements, with an error that grows with the logarithm of their number ([`sum`](crate::kernel::sum)).
    ///
    /// # Shapes
    /// any → `[]`
    pub fn sum(self) -> Var<'t> {
        self.tape().apply(Sum, &[self])
    }

    /// The mean of all elements, 0 if there are none.
    ///
    /// # Shapes
    /// any → `[]`
    pub fn mean(self) -> Var<'t> {
        let size = self.shape().size().max(1);
        self.sum().scale(1.0 / size as Real)
    }

    /// The largest element, as [`Var::max_axis`].
    ///
    /// # Shapes
    /// any → `[]`
    pub fn max(self) -> Var<'t> {
        self.reshape([self.shape().size()]).max_axis(0)
    }

    /// The sum over one axis, which is left out of the result; 0 if the axis is empty.
    ///
    /// Broadcasting aligns axes at the end, so [`Var::reshape`] restores the axis before the sum is combined with `x` again:
    /// `x / x.sum_axis(1).reshape([rows, 1])`.
    ///
    /// # Shapes
    /// `[…, C, …]` → `[…, …]`
    ///
    /// # Panics
    /// If there is no such axis.
    pub fn sum_axis(self, axis: usize) -> Var<'t> {
        self.tape().apply(SumAxis { axis }, &[self])
    }

    /// The mean over one axis, which is left out of the result; 0 if the axis is empty.
    ///
    /// # Shapes
    /// `[…, C, …]` → `[…, …]`
    ///
    /// # Panics
    /// If there is no such axis.
    pub fn mean_axis(self, axis: usize) -> Var<'t> {
        let length = Around::new("mean_axis", &self.shape(), axis).length.max(1);
        self.sum_axis(axis).scale(1.0 / length as Real)
    }

    /// The largest element along one axis, which is left out of the result; -∞ if the axis is empty, NaN if one of the
    /// elements is NaN. Its gradient goes to the first of the largest.
    ///
    /// # Shapes
    /// `[…, C, …]` → `[…, …]`
    ///
    /// # Panics
    /// If there is no such axis.
    pub fn max_axis(self, axis: usize) -> Var<'t> {
        self.tape().apply(MaxAxis { axis }, &[self])
    }
}
