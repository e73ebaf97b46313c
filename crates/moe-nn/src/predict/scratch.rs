//! Memory that inference without a tape uses again from call to call.

use std::sync::Arc;

use moe_core::batch::Inputs;
use moe_core::dispatch::ExpertPlan;
use moe_core::{Tensor, ops};
use moe_routers::RoutingBuf;

/// Working memory of [`Model::infer`](crate::Model::infer), kept by the caller from call to call, for any model. What a
/// call leaves in it means nothing.
#[derive(Debug, Default)]
pub struct ModelScratch {
    /// The inputs of a single row.
    pub(crate) row: Option<Inputs>,
    /// `[B, D]`: what the encoder makes of the inputs.
    pub(crate) rows: Tensor,
    /// `[B, O]`: what all heads are given, if it is the same.
    pub(crate) shared: Tensor,
    pub(crate) layer: LayerOutputs,
    pub(crate) work: ExpertScratch,
    pub(crate) heads: Vec<HeadScratch>,
}

/// Working memory of a head.
#[derive(Debug, Default)]
pub(crate) struct HeadScratch {
    /// `[B, O]`: what it is given.
    pub(crate) mixed: Tensor,
    pub(crate) hidden: [Tensor; 2],
}

/// What [`MoeLayer::infer`](crate::MoeLayer::infer) computed, in memory that is used again.
#[derive(Debug, Default)]
pub struct LayerOutputs {
    /// Of each gate.
    pub(crate) routings: Vec<RoutingBuf>,
    pub(crate) plan: Arc<ExpertPlan>,
    /// `[S, O]`
    pub(crate) slots: Tensor,
}

impl LayerOutputs {
    /// What each gate decided.
    pub fn routings(&self) -> &[RoutingBuf] {
        &self.routings
    }

    /// Makes `out` what the layer gives for a gate.
    ///
    /// # Shapes
    /// → `[B, O]`
    ///
    /// # Panics
    /// If there is no such gate.
    pub fn combine(&self, gate: usize, out: &mut Tensor) {
        let (routing, slots) = (&self.routings[gate], &self.slots);
        out.resize([routing.rows(), slots.cols()]);
        let pair_slots = self.plan.pair_slots(gate);
        ops::combine(slots, routing.weights(), routing.offsets(), pair_slots, out.as_mut_slice());
    }
}

/// Working memory of [`Experts::infer`](crate::Experts::infer). What a call leaves in it means nothing.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ExpertScratch {
    /// `[S, D]`: the rows of the slots.
    pub gathered: Tensor,
    /// Of hidden layers.
    pub hidden: [Tensor; 2],
    /// Of the gates; experts without an `infer` of their own use its tape.
    pub routing: moe_routers::Scratch,
}

/// Takes `x` through `steps` steps (at least one), each from its input to its output, the last one to `out`.
pub(crate) fn chain(
    steps: usize,
    x: &Tensor,
    [mut from, mut to]: [&mut Tensor; 2],
    out: &mut Tensor,
    step: impl Fn(usize, &Tensor, &mut Tensor),
) {
    for i in 0..steps {
        let input = if i == 0 { x } else { &*from };
        if i + 1 == steps {
            step(i, input, out);
        } else {
            step(i, input, to);
            std::mem::swap(&mut from, &mut to);
        }
    }
}
