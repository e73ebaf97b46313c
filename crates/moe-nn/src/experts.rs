use std::sync::Arc;

use moe_core::dispatch::ExpertPlan;
use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::random::{DrawRows, glorot_uniform};
use moe_core::tape::Var;
use moe_core::{Buffer, Parameter, Pass, Real, StateMut, StateRef, Tensor, Visit, VisitMut};

use crate::Module;

/// N experts of one dense layer each, their weights stacked: dropout(relu(x W_e + b_e)).
#[derive(Debug)]
pub struct ExpertBank {
    /// `[N, D, O]`
    weight: Parameter,
    /// `[N, O]`
    bias: Parameter,
    dropout: Real,
}

impl ExpertBank {
    /// Glorot-uniform weights for each expert and zero biases; outputs are dropped with probability `dropout` in
    /// training.
    ///
    /// # Panics
    /// If `dropout` is not in [0, 1).
    pub fn new(
        experts: usize,
        inputs: usize,
        outputs: usize,
        dropout: Real,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        assert!((0.0..1.0).contains(&dropout), "dropout rate {dropout} is not in [0, 1)");
        let weight = glorot_uniform([experts, inputs, outputs], inputs, outputs, rng);
        ExpertBank {
            weight: Parameter::new(weight),
            bias: Parameter::new(Tensor::zeros([experts, outputs])),
            dropout,
        }
    }

    /// N.
    pub fn num_experts(&self) -> usize {
        self.weight.value().shape()[0]
    }

    /// O.
    pub fn outputs(&self) -> usize {
        self.weight.value().cols()
    }

    /// The output of every slot of the plan. An expert without slots is not computed.
    ///
    /// # Shapes
    /// `[B, D]` → `[S, O]`
    pub fn forward<'t>(&self, pass: &Pass<'_>, x: Var<'t>, plan: &Arc<ExpertPlan>) -> Var<'t> {
        let tape = x.tape();
        let (weight, bias) = (tape.parameter(&self.weight), tape.parameter(&self.bias));
        let slots = x.gather_slots(plan).grouped_linear(weight, bias, plan).relu();
        if !pass.is_training() || self.dropout == 0.0 {
            return slots;
        }
        let mut row_ids = Buffer::unspecified(plan.slots());
        for (id, &row) in row_ids.iter_mut().zip(plan.slot_rows()) {
            *id = pass.row_ids[row as usize];
        }
        let rows = DrawRows { row_ids: &row_ids, experts: Some(plan.slot_experts()) };
        slots.dropout(self.dropout, pass.philox("dropout.experts"), rows)
    }
}

impl Module for ExpertBank {
    fn visit(&self, f: &mut Visit<'_>) {
        f("weight", StateRef::Parameter(&self.weight));
        f("bias", StateRef::Parameter(&self.bias));
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        f("weight", StateMut::Parameter(&mut self.weight));
        f("bias", StateMut::Parameter(&mut self.bias));
    }
}
