use std::sync::Arc;

use moe_core::Pass;
use moe_core::dispatch::ExpertPlan;
use moe_core::tape::Var;

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
}
