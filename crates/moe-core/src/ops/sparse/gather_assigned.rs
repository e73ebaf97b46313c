use crate::buffer::Buffer;
use crate::dispatch::assignments::Assignments;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

struct GatherAssigned {
    /// Position of each pair in the dense matrix.
    positions: Buffer<u32>,
}

impl Operator for GatherAssigned {
    fn name(&self) -> &'static str {
        "gather_assigned"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let dense = inputs[0].as_slice();
        Tensor::from_fn([self.positions.len()], |pair| dense[self.positions[pair] as usize])
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut dense = Tensor::zeros(*at.inputs[0].shape());
        let values = dense.as_mut_slice();
        for (&position, d) in self.positions.iter().zip(at.cotangent.as_slice()) {
            values[position as usize] = *d;
        }
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
        let mut positions = Buffer::copy_of(assignments.experts());
        for row in 0..assignments.rows() {
            positions[assignments.pairs_of(row)].iter_mut().for_each(|p| *p += (row * n) as u32);
        }
        self.tape().apply(GatherAssigned { positions }, &[self])
    }
}
