use moe_core::rand_chacha::ChaCha8Rng;
use moe_core::random::uniform;
use moe_core::tape::{Tape, Var};
use moe_core::{Parameter, named_state};

use crate::module::Module;

/// An embedding table: a learnt vector for each id.
#[derive(Debug)]
pub struct Embedding {
    /// `[V, E]`
    weight: Parameter,
}

impl Embedding {
    /// A table of uniform values on ±0.05, as Keras initialises embeddings.
    pub fn new(vocabulary: usize, width: usize, rng: &mut ChaCha8Rng) -> Self {
        Embedding { weight: Parameter::new(uniform([vocabulary, width], 0.05, rng)) }
    }

    /// Looks up the vector of each id.
    ///
    /// # Shapes
    /// B ids → `[B, E]`
    ///
    /// # Panics
    /// If an id is not below V.
    pub fn forward<'t>(&self, tape: &'t Tape, ids: &[u32]) -> Var<'t> {
        tape.parameter(&self.weight).gather_rows(ids)
    }

    /// The score of every id for each row: x Wᵀ with the table W. The table is thus tied to its role in
    /// [`Embedding::forward`] (Press and Wolf, "Using the output embedding to improve language models", 2017), and its
    /// gradient is the sum over both roles.
    ///
    /// # Shapes
    /// `[B, E]` → `[B, V]`
    ///
    /// # Panics
    /// If the width of `x` is not E.
    pub fn logits<'t>(&self, x: Var<'t>) -> Var<'t> {
        x.matmul_with(x.tape().parameter(&self.weight), false, true)
    }
}

impl Module for Embedding {
    named_state!("weight" => parameter weight);
}
