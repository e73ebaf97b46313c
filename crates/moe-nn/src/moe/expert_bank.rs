use std::sync::Arc;

use moe_core::dispatch::ExpertPlan;
use moe_core::kernel::Packed;
use moe_core::ops::{Weight, gather_slots};
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::random::glorot_uniform;
use moe_core::tape::{Tape, Var};
use moe_core::{
    Parameter, Pass, SlotRows, StateMut, StateRef, Tensor, Visit, VisitMut, named, named_mut,
};

use crate::layers::mlp::MlpOptions;
use crate::layers::mlp::Stage;
use crate::module::Module;
use crate::moe::experts::Experts;
use crate::predict::scratch::ExpertScratch;
use crate::predict::scratch::chain;

/// N experts that are multi-layer perceptrons of one form, their weights stacked, so that each layer of all experts
/// is one product by groups. The feed-forward experts of a transformer, and with an activation at the end those of
/// the papers.
///
/// Hidden layers are named `hidden.0` and so on, the last layer has no prefix.
#[derive(Debug)]
pub struct ExpertBank {
    hidden: Vec<StackedLinear>,
    last: StackedLinear,
    /// One per hidden layer, and that of the last.
    stages: Vec<Stage>,
}

/// x W_e + b_e for N experts.
#[derive(Debug)]
struct StackedLinear {
    /// `[N, D, O]`
    weight: Parameter,
    /// `[N, O]`
    bias: Parameter,
    /// A copy of the weight for inference.
    packed: Option<Packed>,
}

impl ExpertBank {
    /// Glorot-uniform weights for each expert and zero biases.
    ///
    /// ```
    /// use moe_core::random::chacha;
    /// use moe_nn::{ExpertBank, Experts, MlpOptions};
    ///
    /// // The feed-forward part of a transformer, eight times.
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
            .map(|[inputs, outputs]| StackedLinear::new(experts, inputs, outputs, rng))
            .collect();
        let last = layers.pop().expect("there is a last layer");
        ExpertBank { hidden: layers, last, stages: options.stages() }
    }
}

impl Experts for ExpertBank {
    fn num_experts(&self) -> usize {
        self.last.weight.value().shape()[0]
    }

    fn outputs(&self) -> usize {
        self.last.weight.value().cols()
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
    fn visit(&self, f: &mut Visit<'_>) {
        for (i, layer) in self.hidden.iter().enumerate() {
            named(&format!("hidden.{i}"), f, |f| layer.visit(f));
        }
        self.last.visit(f);
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        for (i, layer) in self.hidden.iter_mut().enumerate() {
            named_mut(&format!("hidden.{i}"), f, |f| layer.visit_mut(f));
        }
        self.last.visit_mut(f);
    }

    fn pack_weights(&mut self) {
        self.hidden.iter_mut().chain([&mut self.last]).for_each(StackedLinear::pack_weights);
    }
}

impl StackedLinear {
    fn new(experts: usize, inputs: usize, outputs: usize, rng: &mut ChaCha8Rng) -> Self {
        let weight = glorot_uniform([experts, inputs, outputs], inputs, outputs, rng);
        StackedLinear {
            weight: Parameter::new(weight),
            bias: Parameter::new(Tensor::zeros([experts, outputs])),
            packed: None,
        }
    }

    /// Weight and bias on a tape.
    fn leaves<'t>(&self, tape: &'t Tape) -> [Var<'t>; 2] {
        [tape.parameter(&self.weight), tape.parameter(&self.bias)]
    }

    /// Weight and bias, for the inference of this number of rows.
    fn at_inference(&self, rows: usize) -> (Weight<'_>, &Tensor) {
        // A single row reads the weight in place.
        let packed = self.packed.as_ref().filter(|_| rows > 1);
        (Weight::new(self.weight.value(), packed), self.bias.value())
    }

    fn pack_weights(&mut self) {
        self.packed = Weight::pack(self.weight.value());
    }

    fn visit(&self, f: &mut Visit<'_>) {
        f("weight", StateRef::Parameter(&self.weight));
        f("bias", StateRef::Parameter(&self.bias));
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        self.packed = None;
        f("weight", StateMut::Parameter(&mut self.weight));
        f("bias", StateMut::Parameter(&mut self.bias));
    }
}
