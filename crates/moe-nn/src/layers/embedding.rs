use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::random::uniform;
use moe_core::tape::{Tape, Var};
use moe_core::{Parameter, Real, StateMut, StateRef, Visit, VisitMut};

use crate::module::Module;

/// A learnt vector for each id.
#[derive(Debug)]
pub struct Embedding {
    /// `[V, E]`
    weight: Parameter,
}

impl Embedding {
    /// Uniform on ±0.05, as Keras initialises embeddings.
    pub fn new(vocabulary: usize, width: usize, rng: &mut ChaCha8Rng) -> Self {
        Embedding { weight: Parameter::new(uniform([vocabulary, width], 0.05, rng)) }
    }

    /// # Shapes
    /// B ids → `[B, E]`
    ///
    /// # Panics
    /// If an id is not below the vocabulary.
    pub fn forward<'t>(&self, tape: &'t Tape, ids: &[u32]) -> Var<'t> {
        tape.parameter(&self.weight).gather_rows(ids)
    }

    /// The vector of an id.
    ///
    /// # Panics
    /// If it is not below the vocabulary.
    pub(crate) fn vector(&self, id: u32) -> &[Real] {
        self.weight.value().row(id as usize)
    }

    /// The score of every id for each row: x Wᵀ with the table W, which is so tied to its use in
    /// [`Embedding::forward`] (Press and Wolf, "Using the output embedding to improve language models", 2017). Its
    /// gradient is the sum over both uses.
    ///
    /// # Shapes
    /// `[B, E]` → `[B, V]`
    ///
    /// # Panics
    /// If x is not of the width of the table.
    pub fn logits<'t>(&self, x: Var<'t>) -> Var<'t> {
        x.matmul_with(x.tape().parameter(&self.weight), false, true)
    }
}

impl Module for Embedding {
    fn visit(&self, f: &mut Visit<'_>) {
        f("weight", StateRef::Parameter(&self.weight));
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        f("weight", StateMut::Parameter(&mut self.weight));
    }
}
