use moe_core::tape::Var;
use moe_core::{Pass, Visit, VisitMut, named, named_mut};

use crate::module::Module;

/// A module from rows to rows.
///
/// # Contract
/// The output has one row per row of the input, and every draw is keyed by the row ([`Pass::draw_rows`]), so that a
/// row does not see the others. What has to look at a row as something else, an image say, reshapes inside.
pub trait Layer: Module {
    /// # Shapes
    /// `[B, D]` → `[B, O]`
    fn forward<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Var<'t>;
}

/// One layer after the other; named by their numbers.
impl Layer for Vec<Box<dyn Layer>> {
    fn forward<'t>(&self, pass: &Pass<'_>, x: Var<'t>) -> Var<'t> {
        self.iter().fold(x, |x, layer| layer.forward(pass, x))
    }
}

impl Module for Vec<Box<dyn Layer>> {
    fn visit(&self, f: &mut Visit<'_>) {
        for (i, layer) in self.iter().enumerate() {
            named(&i.to_string(), f, |f| layer.visit(f));
        }
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        for (i, layer) in self.iter_mut().enumerate() {
            named_mut(&i.to_string(), f, |f| layer.visit_mut(f));
        }
    }
}
