use std::sync::Arc;

use moe_core::Pass;
use moe_core::dispatch::ExpertPlan;
use moe_core::tape::Var;

use crate::Module;

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
}
