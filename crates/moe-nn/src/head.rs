use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::tape::Var;
use moe_core::{Visit, VisitMut, named, named_mut};

use crate::{Linear, Module};

/// The layers of one task after the mixture: hidden layers with ReLU, then a linear one.
#[derive(Debug)]
pub struct TaskHead {
    layers: Vec<Linear>,
}

impl TaskHead {
    /// Layers from `inputs` through `hidden` widths to `outputs`.
    pub fn new(inputs: usize, hidden: &[usize], outputs: usize, rng: &mut ChaCha8Rng) -> Self {
        let mut width = inputs;
        let mut layers = Vec::with_capacity(hidden.len() + 1);
        for &next in hidden.iter().chain([&outputs]) {
            layers.push(Linear::new(width, next, rng));
            width = next;
        }
        TaskHead { layers }
    }

    /// # Shapes
    /// `[B, O]` → `[B, outputs of the task]`
    pub fn forward<'t>(&self, x: Var<'t>) -> Var<'t> {
        let (last, hidden) = self.layers.split_last().expect("a head has a layer");
        last.forward(hidden.iter().fold(x, |x, layer| layer.forward(x).relu()))
    }
}

impl Module for TaskHead {
    fn visit(&self, f: &mut Visit<'_>) {
        for (i, layer) in self.layers.iter().enumerate() {
            named(&i.to_string(), f, |f| layer.visit(f));
        }
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        for (i, layer) in self.layers.iter_mut().enumerate() {
            named_mut(&i.to_string(), f, |f| layer.visit_mut(f));
        }
    }
}
