use std::fmt::Debug;

use moe_core::batch::Inputs;
use moe_core::tape::{Tape, Var};
use moe_core::{Pass, Tensor};

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
    fn forward<'t>(&self, tape: &'t Tape, pass: &Pass<'_>, inputs: &Inputs) -> Var<'t>;

    /// The values of [`Encoder::forward`] in [`Mode::Infer`](moe_core::Mode::Infer), for rows with these lookup keys: `out`,
    /// or the inputs themselves if there is nothing to compute. The default calls `forward` on a tape.
    ///
    /// # Shapes
    /// B rows, B keys → `[B, D]`
    ///
    /// # Panics
    /// As `forward`.
    fn infer<'a>(&self, inputs: &'a Inputs, keys: &[u64], out: &'a mut Tensor) -> &'a Tensor {
        let tape = Tape::inference();
        *out = self.forward(&tape, &Pass::of_keys(keys), inputs).value();
        out
    }
}
