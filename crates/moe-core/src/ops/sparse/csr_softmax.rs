use crate::buffer::Shared;
use crate::dispatch::assignments::Assignments;
use crate::kernel::vector_math::{Exp, map};
use crate::ops::softmax::{divide_by_sum, softmax_gradient_in_place, subtract_max};
use crate::real::Real;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

struct CsrSoftmax {
    /// First pair of each row.
    offsets: Shared<u32>,
}

impl CsrSoftmax {
    /// Calls `f(pairs of the row)` on the part of `values` that belongs to each row.
    fn for_rows(&self, values: &mut [Real], mut f: impl FnMut(usize, &mut [Real])) {
        for bounds in self.offsets.windows(2) {
            let (start, end) = (bounds[0] as usize, bounds[1] as usize);
            f(start, &mut values[start..end]);
        }
    }
}

impl Operator for CsrSoftmax {
    fn name(&self) -> &'static str {
        "csr_softmax"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let mut weights = inputs[0].clone();
        let values = weights.as_mut_slice();
        // The exponentials of all rows together: a row has few pairs.
        self.for_rows(values, |_, row| {
            subtract_max(row);
        });
        map(Exp, values);
        self.for_rows(values, |_, row| {
            divide_by_sum(row);
        });
        weights
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let weights = at.output.as_slice();
        let mut dx = at.cotangent;
        self.for_rows(dx.as_mut_slice(), |start, row| {
            softmax_gradient_in_place(&weights[start..start + row.len()], row);
        });
        gradients.add(0, dx);
    }
}

impl<'t> Var<'t> {
    /// Softmax over the pairs of each row. A row without experts has no weights.
    ///
    /// # Shapes
    /// `[pairs]` → `[pairs]`
    ///
    /// # Panics
    /// If there is not one value per pair.
    pub fn csr_softmax(self, assignments: &Assignments) -> Var<'t> {
        assert_eq!(self.shape().size(), assignments.pairs(), "csr_softmax: one value per pair");
        let offsets = assignments.shared_offsets();
        self.tape().apply(CsrSoftmax { offsets }, &[self])
    }
}
