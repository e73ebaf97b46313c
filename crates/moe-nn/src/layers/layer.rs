use moe_core::tape::Var;

use crate::layers::forward::Forward;
use crate::module::Module;

/// A module that maps rows to rows.
///
/// # Contract
/// The output has one row per input row. Every random draw is keyed by the row
/// ([`Pass::draw_rows`](moe_core::Pass::draw_rows)), so that a row does not depend on the other rows. A layer that needs
/// another view of a row, such as an image, reshapes inside. A layer that contains a [`MoeLayer`](crate::MoeLayer) passes
/// `pass` on to it, and lists its gates in [`Module::gates_mut`].
pub trait Layer: Module {
    /// Computes the output of every row.
    ///
    /// # Shapes
    /// `[B, D]` → `[B, O]`
    fn forward<'t>(&self, pass: &Forward<'_, 't>, x: Var<'t>) -> Var<'t>;
}

/// Layers that are applied one after the other.
impl Layer for Vec<Box<dyn Layer>> {
    fn forward<'t>(&self, pass: &Forward<'_, 't>, x: Var<'t>) -> Var<'t> {
        self.iter().fold(x, |x, layer| layer.forward(pass, x))
    }
}

impl<L: Layer + ?Sized> Layer for Box<L> {
    fn forward<'t>(&self, pass: &Forward<'_, 't>, x: Var<'t>) -> Var<'t> {
        (**self).forward(pass, x)
    }
}
