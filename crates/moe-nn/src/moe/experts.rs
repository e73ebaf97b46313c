use std::sync::Arc;

use moe_core::dispatch::ExpertPlan;
use moe_core::tape::Var;
use moe_core::{Pass, Tensor};

use crate::module::Module;

/// N experts, each a function of rows. A [`MoeLayer`](crate::MoeLayer) mixes their outputs.
pub trait Experts: Module {
    /// Number of experts (N).
    fn num_experts(&self) -> usize;

    /// Width of an expert's output (O).
    fn outputs(&self) -> usize;

    /// Computes the output of every slot of the plan. An expert without slots is not computed.
    ///
    /// # Shapes
    /// `[B, D]` → `[S, O]`
    ///
    /// # Panics
    /// If the plan is for another number of rows or experts.
    fn forward<'t>(&self, pass: &Pass<'_>, x: Var<'t>, plan: &Arc<ExpertPlan>) -> Var<'t>;

    /// Computes the output of every slot at inference: the values of [`Experts::forward`] in
    /// [`Mode::Infer`](moe_core::Mode::Infer). The default implementation calls `forward` on a tape.
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

/// Working memory of [`Experts::infer`]. Its contents have no meaning between calls.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ExpertScratch {
    /// `[S, D]`: the rows of the slots.
    pub gathered: Tensor,
    /// Outputs of hidden layers.
    pub hidden: [Tensor; 2],
    /// Working memory of the gates; its tape serves experts that do not implement `infer`.
    pub routing: moe_routers::Scratch,
}
