use std::ops::Range;
use std::sync::Arc;

use moe_core::dispatch::ExpertPlan;
use moe_core::tape::Var;
use moe_core::{Pass, SlotRows, named_state};

use crate::layers::forward::Forward;
use crate::layers::layer::Layer;
use crate::module::Module;
use crate::moe::experts::Experts;

/// Experts made of arbitrary layers. All experts run in parallel, each on the rows of its slots with its own tape.
///
/// An expert without slots is not computed, forward or backward, and its parameters have no gradient in that pass (the
/// optimiser treats this as a gradient of zeros). The routings of MoE layers inside an expert are not recorded, and their
/// gates must not have auxiliary losses. If all experts are small perceptrons of the same shape, an
/// [`ExpertBank`](crate::ExpertBank) computes the same in larger products.
pub struct LayerExperts {
    layers: Vec<Box<dyn Layer>>,
    outputs: usize,
}

impl LayerExperts {
    /// One expert per layer, each with outputs of width `outputs`. The experts are named by their index.
    ///
    /// Layers with the same dropout name draw different values in different experts: those that an
    /// [`ExpertBank`](crate::ExpertBank) would draw.
    pub fn new(layers: Vec<Box<dyn Layer>>, outputs: usize) -> Self {
        LayerExperts { layers, outputs }
    }
}

impl Experts for LayerExperts {
    fn num_experts(&self) -> usize {
        self.layers.len()
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn forward<'t>(&self, pass: &Pass<'_>, x: Var<'t>, plan: &Arc<ExpertPlan>) -> Var<'t> {
        assert_eq!(
            plan.num_experts(),
            self.layers.len(),
            "the plan is for another number of experts"
        );
        let slots = SlotRows::new(pass, plan);
        let pass = slots.pass(pass);
        let blocks: Vec<Range<usize>> =
            (0..plan.num_experts()).map(|expert| plan.slots_of_expert(expert)).collect();
        x.gather_slots(plan).map_row_blocks(&blocks, self.outputs, |expert, x| {
            let rows = pass.rows(plan.slots_of_expert(expert));
            self.layers[expert].forward(&Forward::unrecorded(rows), x)
        })
    }
}

impl Module for LayerExperts {
    named_state!(flat layers);
}

impl std::fmt::Debug for LayerExperts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LayerExperts of {} experts with {} outputs", self.layers.len(), self.outputs)
    }
}
