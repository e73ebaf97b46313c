use std::sync::Arc;

use crate::dispatch::plan::ExpertPlan;
use crate::kernel::parallel::for_row_blocks;
use crate::kernel::rows::add;
use crate::tape::operator::{Backward, InputGradients, Operator};
use crate::tape::tape::Var;
use crate::tensor::Tensor;

struct GatherSlots {
    plan: Arc<ExpertPlan>,
}

/// The row of every slot, in slot order, without a tape: the function behind [`Var::gather_slots`]. `out` takes the shape of the
/// result, in the memory that it has if that is large enough.
///
/// # Shapes
/// `x` `[B, D]` → `out` `[S, D]`
///
/// # Panics
/// If the plan is for another number of rows.
pub fn gather_slots(x: &Tensor, plan: &ExpertPlan, out: &mut Tensor) {
    assert_eq!(x.rows(), plan.rows(), "gather_slots: the plan is for another number of rows");
    let (cols, slot_rows) = (x.cols(), plan.slot_rows());
    out.resize([slot_rows.len(), cols]);
    for_row_blocks(out.as_mut_slice(), cols, |first, block| {
        for (s, out) in block.chunks_exact_mut(cols).enumerate() {
            out.copy_from_slice(x.row(slot_rows[first + s] as usize));
        }
    });
}

impl Operator for GatherSlots {
    fn name(&self) -> &'static str {
        "gather_slots"
    }

    fn forward(&mut self, inputs: &[&Tensor]) -> Tensor {
        let mut slots = Tensor::unspecified([self.plan.slots(), inputs[0].cols()]);
        gather_slots(inputs[0], &self.plan, &mut slots);
        slots
    }

    fn backward(&self, at: Backward<'_>, gradients: &mut InputGradients<'_>) {
        let mut dx = Tensor::unspecified(*at.inputs[0].shape());
        let cols = dx.cols();
        for_row_blocks(dx.as_mut_slice(), cols, |first, block| {
            for (r, out) in block.chunks_exact_mut(cols).enumerate() {
                let mut slots = self.plan.slots_of_row(first + r).iter();
                match slots.next() {
                    Some(&slot) => out.copy_from_slice(at.cotangent.row(slot as usize)),
                    None => out.fill(0.0),
                }
                slots.for_each(|&slot| add(out, at.cotangent.row(slot as usize)));
            }
        });
        gradients.add(0, dx);
    }
}

impl<'t> Var<'t> {
    /// The row of every slot, in slot order.
    ///
    /// # Shapes
    /// `[B, D]` → `[S, D]`
    ///
    /// # Panics
    /// If the plan is for another number of rows.
    pub fn gather_slots(self, plan: &Arc<ExpertPlan>) -> Var<'t> {
        let plan = Arc::clone(plan);
        self.tape().apply(GatherSlots { plan }, &[self])
    }
}
