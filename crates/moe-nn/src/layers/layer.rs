use moe_core::Pass;
use moe_core::tape::Var;

use crate::module::Module;

/// A module that maps rows to rows.
///
/// # Contract
/// The output has one row per input row. Every random draw is keyed by the row ([`Pass::draw_rows`]), so that a row does
/// not depend on the other rows. A layer that needs another view of a row, such as an image, reshapes inside.
pub trait Layer: Module {
    /// Computes the output of every row.
    ///
    /// # Shapes
    /// `[B, D]` → `[B, O]`
    fn forward<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Var<'t>;
}

/// Layers that are applied one after the other.
impl Layer for Vec<Box<dyn Layer>> {
    fn forward<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Var<'t> {
        self.iter().fold(x, |x, layer| layer.forward(pass, x))
    }
}
