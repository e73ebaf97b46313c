use crate::dispatch::assignments::Assignments;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

struct GatherAssigned {
    assignments: Assignments,
}

impl GatherAssigned {
    /// Calls `f(pair, its position in the dense matrix)` for every pair.
    fn for_pairs(&self, mut f: impl FnMut(usize, usize)) {
        let (n, experts) = (self.assignments.num_experts(), self.assignments.experts());
        for row in 0..self.assignments.rows() {
            for pair in self.assignments.pairs_of(row) {
                f(pair, row * n + experts[pair] as usize);
            }
        }
    }
}

impl Operator for GatherAssigned {
    fn name(&self) -> &'static str {
        "gather_assigned"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let dense = inputs[0].as_slice();
        let mut out = Tensor::unspecified([self.assignments.pairs()]);
        let values = out.as_mut_slice();
        self.for_pairs(|pair, position| values[pair] = dense[position]);
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut dense = Tensor::zeros(*at.inputs[0].shape());
        let (values, cotangent) = (dense.as_mut_slice(), at.cotangent.as_slice());
        self.for_pairs(|pair, position| values[position] = cotangent[pair]);
        gradients.add(0, dense);
    }
}

impl<'t> Var<'t> {
    /// The entries of a dense matrix of gate values at the assigned pairs.
    ///
    /// # Shapes
    /// `[B, N]` → `[pairs]`
    ///
    /// # Panics
    /// If the matrix is not B by N.
    pub fn gather_assigned(self, assignments: &Assignments) -> Var<'t> {
        let n = assignments.num_experts();
        assert_eq!(
            self.shape()[..],
            [assignments.rows(), n],
            "gather_assigned: the matrix must be rows by experts"
        );
        let gather = GatherAssigned { assignments: assignments.clone() };
        self.tape().apply(gather, &[self])
    }
}
