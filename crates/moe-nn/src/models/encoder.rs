use std::fmt::Debug;

use moe_core::batch::Inputs;
use moe_core::tape::{Tape, Var};

use crate::layers::forward::Forward;
use crate::module::Module;

/// Turns the inputs of a batch into the rows that gates and experts see.
pub trait Encoder: Module + Debug {
    /// Width of an encoded row (D).
    fn outputs(&self) -> usize;

    /// Encodes B rows.
    ///
    /// # Shapes
    /// B rows → `[B, D]`
    ///
    /// # Panics
    /// If the encoder does not take such inputs.
    fn forward<'t>(&self, tape: &'t Tape, pass: &Forward<'_, 't>, inputs: &Inputs) -> Var<'t>;
}
