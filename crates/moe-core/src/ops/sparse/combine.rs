use std::sync::Arc;

use crate::dispatch::{Assignments, ExpertPlan};
use crate::kernel::{dot, for_row_blocks};
use crate::tape::{Backward, InputGradients, Operator, Var};
use crate::{Buffer, Tensor};

struct Combine {
    plan: Arc<ExpertPlan>,
    gate: usize,
    /// First pair of each row of the gate.
    offsets: Arc<Buffer<u32>>,
}

impl Operator for Combine {
    fn name(&self) -> &'static str {
        "combine"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let (slots, weights) = (inputs[0], inputs[1].as_slice());
        let cols = slots.cols();
        let pair_slots = self.plan.pair_slots(self.gate);
        let mut out = Tensor::zeros([self.plan.rows(), cols]);
        for_row_blocks(out.as_mut_slice(), cols, |first, block| {
            for (r, out) in block.chunks_exact_mut(cols).enumerate() {
                let bounds = &self.offsets[first + r..first + r + 2];
                for pair in bounds[0] as usize..bounds[1] as usize {
                    let weight = weights[pair];
                    for (sum, y) in out.iter_mut().zip(slots.row(pair_slots[pair] as usize)) {
                        *sum += weight * y;
                    }
                }
            }
        });
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (slots, weights) = (at.inputs[0], at.inputs[1]);
        let pair_slots = self.plan.pair_slots(self.gate);
        let pairs = || {
            let rows = self.offsets.windows(2).enumerate();
            rows.flat_map(|(row, bounds)| (bounds[0]..bounds[1]).map(move |p| (row, p as usize)))
        };
        if gradients.wants(1) {
            let mut dw = Tensor::zeros(*weights.shape());
            let values = dw.as_mut_slice();
            for (row, pair) in pairs() {
                let y = slots.row(pair_slots[pair] as usize);
                values[pair] = dot(at.cotangent.row(row), y);
            }
            gradients.add(1, dw);
        }
        if gradients.wants(0) {
            let mut ds = Tensor::zeros(*slots.shape());
            let cols = ds.cols();
            let values = ds.as_mut_slice();
            for (row, pair) in pairs() {
                let start = pair_slots[pair] as usize * cols;
                let weight = weights.as_slice()[pair];
                for (d, g) in values[start..start + cols].iter_mut().zip(at.cotangent.row(row)) {
                    *d = weight * g;
                }
            }
            gradients.add(0, ds);
        }
    }
}

impl<'t> Var<'t> {
    /// For each row, the weighted sum of its experts' outputs, for one gate of the plan. A row without experts
    /// gets zeros.
    ///
    /// # Shapes
    /// expert outputs `[S, O]`, `weights` `[pairs of the gate]` → `[B, O]`
    ///
    /// # Panics
    /// If the sizes do not fit, or the plan has no such gate.
    pub fn combine(
        self,
        weights: Var<'t>,
        assignments: &Assignments,
        plan: &Arc<ExpertPlan>,
        gate: usize,
    ) -> Var<'t> {
        assert_eq!(self.shape().as_matrix().0, plan.slots(), "combine: one row per slot");
        assert_eq!(weights.shape().size(), assignments.pairs(), "combine: one weight per pair");
        assert_eq!(
            (assignments.rows(), assignments.pairs()),
            (plan.rows(), plan.pair_slots(gate).len()),
            "combine: the assignments are not those of gate {gate} of the plan"
        );
        let combine =
            Combine { plan: Arc::clone(plan), gate, offsets: assignments.shared_offsets() };
        self.tape().apply(combine, &[self, weights])
    }
}
