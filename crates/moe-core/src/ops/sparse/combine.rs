use std::sync::Arc;

use crate::buffer::{Buffer, Shared};
use crate::dispatch::assignments::Assignments;
use crate::dispatch::plan::ExpertPlan;
use crate::kernel::parallel::{for_row_blocks, for_row_blocks2};
use crate::kernel::reduce::dot;
use crate::kernel::rows::{add_scaled, set_scaled};
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

struct Combine {
    plan: Arc<ExpertPlan>,
    gate: usize,
    /// First pair of each row of the gate.
    offsets: Shared<u32>,
}

impl Operator for Combine {
    fn name(&self) -> &'static str {
        "combine"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let (slots, weights) = (inputs[0], inputs[1].as_slice());
        let (cols, pair_slots) = (slots.cols(), self.plan.pair_slots(self.gate));
        let mut out = Tensor::unspecified([self.plan.rows(), cols]);
        for_row_blocks(out.as_mut_slice(), cols, |first, block| {
            for (r, out) in block.chunks_exact_mut(cols).enumerate() {
                let bounds = &self.offsets[first + r..first + r + 2];
                let mut pairs = bounds[0] as usize..bounds[1] as usize;
                let slot = |pair: usize| slots.row(pair_slots[pair] as usize);
                match pairs.next() {
                    Some(pair) => set_scaled(out, weights[pair], slot(pair)),
                    None => out.fill(0.0),
                }
                pairs.for_each(|pair| add_scaled(out, weights[pair], slot(pair)));
            }
        });
        out
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let (slots, weights) = (at.inputs[0], at.inputs[1]);
        let (plan, cols, cotangent) = (&self.plan, slots.cols(), &at.cotangent);
        let mut slot_pairs = Buffer::<u32>::filled(plan.slots(), NONE);
        let pair_slots = plan.pair_slots(self.gate);
        for (pair, &slot) in pair_slots.iter().enumerate() {
            slot_pairs[slot as usize] = pair as u32;
        }
        let weight = |slot: usize| match slot_pairs[slot] {
            NONE => None,
            pair => Some(weights.as_slice()[pair as usize]),
        };
        let wants_weights = gradients.wants(1);
        // One product per slot, in their order, so that the rows of the slots are read one after the other.
        let mut products = Tensor::zeros([plan.slots()]);
        // The slots belong to all gates: each gate adds to the gradients of the others.
        let present = gradients.dense_mut(0);
        let is_first = present.is_none();
        let mut fresh = is_first.then(|| Tensor::unspecified(*slots.shape()));
        let ds = present.or(fresh.as_mut()).expect("one of them");
        for_row_blocks2(
            (ds.as_mut_slice(), cols),
            (products.as_mut_slice(), 1),
            |first, ds, dw| {
                for (s, (ds, dw)) in ds.chunks_exact_mut(cols).zip(dw).enumerate() {
                    let slot = first + s;
                    let row = cotangent.row(plan.slot_rows()[slot] as usize);
                    match (weight(slot), is_first) {
                        (Some(weight), true) => set_scaled(ds, weight, row),
                        (Some(weight), false) => add_scaled(ds, weight, row),
                        (None, true) => ds.fill(0.0),
                        (None, false) => {}
                    }
                    if wants_weights && slot_pairs[slot] != NONE {
                        *dw = dot(row, slots.row(slot));
                    }
                }
            },
        );
        if let Some(fresh) = fresh {
            gradients.add(0, fresh);
        }
        if wants_weights {
            let dw =
                Tensor::from_fn(*weights.shape(), |p| products.as_slice()[pair_slots[p] as usize]);
            gradients.add(1, dw);
        }
    }
}

/// Stands for the pair of a slot that the gate does not use.
const NONE: u32 = u32::MAX;

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
