use std::sync::Arc;

use moe_core::dispatch::ExpertPlan;
use moe_core::ops::gather_slots;
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::tape::Var;
use moe_core::{Pass, SlotRows, Tensor, named_state};

use crate::layers::linear::Linear;
use crate::layers::mlp::MlpOptions;
use crate::layers::stage::{Stage, chain};
use crate::module::Module;
use crate::moe::experts::{ExpertScratch, Experts};

/// N experts that are multi-layer perceptrons of the same shape. Their weights are stacked, so that each layer of all
/// experts is one grouped product. These are the feed-forward experts of a transformer and, with an activation after the
/// last layer, those of the papers.
///
/// Hidden layers are named `hidden.0` and so on; the last layer has no prefix.
#[derive(Debug)]
pub struct ExpertBank {
    hidden: Vec<Linear>,
    last: Linear,
    /// One stage per layer, the last layer included.
    stages: Vec<Stage>,
}

impl ExpertBank {
    /// Experts with Glorot-uniform weights and zero biases.
    ///
    /// ```
    /// use moe_core::random::chacha;
    /// use moe_nn::{ExpertBank, Experts, MlpOptions};
    ///
    /// // Eight copies of the feed-forward block of a transformer.
    /// let options = MlpOptions { hidden: vec![256], ..MlpOptions::default() };
    /// let bank = ExpertBank::new(8, 64, 64, &options, &mut chacha(1, "init.experts", 0));
    /// assert_eq!((bank.num_experts(), bank.outputs()), (8, 64));
    /// ```
    ///
    /// # Panics
    /// If a dropout rate is not in [0, 1).
    pub fn new(
        experts: usize,
        inputs: usize,
        outputs: usize,
        options: &MlpOptions,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let mut layers: Vec<_> = (options.widths(inputs, outputs).into_iter())
            .map(|[inputs, outputs]| Linear::stacked(experts, inputs, outputs, rng))
            .collect();
        let last = layers.pop().expect("there is a last layer");
        ExpertBank { hidden: layers, last, stages: options.stages() }
    }
}

impl Experts for ExpertBank {
    fn num_experts(&self) -> usize {
        self.last.weight().shape()[0]
    }

    fn outputs(&self) -> usize {
        self.last.weight().cols()
    }

    fn forward<'t>(&self, pass: &Pass<'_>, x: Var<'t>, plan: &Arc<ExpertPlan>) -> Var<'t> {
        let slots = SlotRows::new(pass, plan);
        let pass = slots.pass(pass);
        let layers = self.hidden.iter().chain([&self.last]).zip(&self.stages);
        layers.fold(x.gather_slots(plan), |x, (layer, stage)| {
            stage.grouped_linear(&pass, x, layer.leaves(x.tape()), plan)
        })
    }

    fn infer(
        &self,
        x: &Tensor,
        _keys: &[u64],
        plan: &Arc<ExpertPlan>,
        out: &mut Tensor,
        scratch: &mut ExpertScratch,
    ) {
        let ExpertScratch { gathered, hidden, .. } = scratch;
        gather_slots(x, plan, gathered);
        chain(self.stages.len(), gathered, hidden.each_mut(), out, |i, x, out| {
            let layer = self.hidden.get(i).unwrap_or(&self.last);
            self.stages[i].grouped_affine(x, layer.at_inference(plan.rows()), plan, out);
        });
    }
}

impl Module for ExpertBank {
    named_state!("hidden" => child hidden, flat last);

    fn pack_weights(&mut self) {
        self.hidden.iter_mut().chain([&mut self.last]).for_each(Linear::pack_weights);
    }
}
