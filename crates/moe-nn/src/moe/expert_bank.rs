use std::sync::Arc;

use moe_core::dispatch::ExpertPlan;
use moe_core::ops::gather_slots;
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::tape::Var;
use moe_core::{Pass, SlotRows, Tensor, named_state};

use crate::layers::linear::Linear;
use crate::layers::mlp::MlpOptions;
use crate::layers::stage::{Stage, is_inference};
use crate::module::Module;
use crate::moe::experts::Experts;

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

    /// Every layer with its stage, in the order in which they are applied.
    fn layers(&self) -> impl Iterator<Item = (&Linear, &Stage)> {
        self.hidden.iter().chain([&self.last]).zip(&self.stages)
    }

    /// The values of [`Experts::forward`] at inference, with packed weights if there are any.
    ///
    /// # Shapes
    /// `x` `[B, D]` → `[S, O]`
    fn infer(&self, x: &Tensor, plan: &ExpertPlan) -> Tensor {
        let mut slots = Tensor::default();
        gather_slots(x, plan, &mut slots);
        self.layers().fold(slots, |x, (layer, stage)| stage.grouped_affine(&x, layer, plan))
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
        if is_inference(pass, x.tape()) {
            return x.tape().constant(self.infer(&x.value(), plan));
        }
        let slots = SlotRows::new(pass, plan);
        let pass = slots.pass(pass);
        self.layers().fold(x.gather_slots(plan), |x, (layer, stage)| {
            stage.grouped_linear(&pass, x, layer, plan)
        })
    }
}

impl Module for ExpertBank {
    named_state!("hidden" => child hidden, flat last);

    fn pack_weights(&mut self) {
        self.hidden.iter_mut().chain([&mut self.last]).for_each(Linear::pack_weights);
    }
}
