use std::sync::Arc;

use moe_core::dispatch::ExpertPlan;
use moe_core::tape::Var;
use moe_core::{Pass, Tensor};

use crate::module::Module;
use crate::predict::scratch::ExpertScratch;

/// N experts, each a function of rows: what a [`MoeLayer`](crate::MoeLayer) mixes.
pub trait Experts: Module {
    /// N.
    fn num_experts(&self) -> usize;

    /// O.
    fn outputs(&self) -> usize;

    /// The output of every slot of the plan. An expert without slots is not computed.
    ///
    /// # Shapes
    /// `[B, D]` → `[S, O]`
    ///
    /// # Panics
    /// If the plan is for another number of rows or experts.
    fn forward<'t>(&self, pass: &Pass<'_>, x: Var<'t>, plan: &Arc<ExpertPlan>) -> Var<'t>;

    /// Makes `out` the output of every slot for use: the numbers of [`Experts::forward`] in
    /// [`Mode::Infer`](moe_core::Mode::Infer). The default goes through `forward` and a tape.
    ///
    /// # Shapes
    /// `x` `[B, D]`, B keys → `out` `[S, O]`
    ///
    /// # Panics
    /// As `forward`.
    fn infer(
        &self,
        x: &Tensor,
        keys: &[u64],
        plan: &Arc<ExpertPlan>,
        out: &mut Tensor,
        scratch: &mut ExpertScratch,
    ) {
        scratch.routing.with_tape(|tape| {
            *out = self.forward(&Pass::of_keys(keys), tape.constant(x.clone()), plan).value();
        });
    }
}
