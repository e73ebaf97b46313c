use moe_core::{StateMut, StateRef, Visit, VisitMut};

/// Whether `name` is `prefix` or begins with it and a dot; the empty prefix names all.
pub(crate) fn is_named(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix);
    prefix.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Anything that owns named parameters and buffers.
///
/// Both visits report the same names in the same order; optimisers and files rely on it. Names of parts are
/// joined with dots (see [`moe_core::named`]).
pub trait Module: Send + Sync {
    /// Reports every parameter and buffer by name.
    fn visit(&self, f: &mut Visit<'_>);

    /// [`Module::visit`], writable.
    fn visit_mut(&mut self, f: &mut VisitMut<'_>);

    /// Copies the weights that inference reads in the order in which products of several rows read them
    /// ([`Weight::pack`](moe_core::ops::Weight::pack)). Predictions keep their bits and take less time; the copy takes the
    /// memory of the weights once more. Weights lose it in [`Module::visit_mut`], through which they change.
    ///
    /// [`Predictor`](crate::Predictor) calls it once; training never does. The default copies nothing.
    fn pack_weights(&mut self) {}

    /// Freezes (or frees) every parameter whose name is `prefix` or begins with it and a dot; the empty prefix names
    /// all. Returns how many there are.
    fn set_frozen(&mut self, prefix: &str, is_frozen: bool) -> usize {
        let mut count = 0;
        self.visit_mut(&mut |name, state| {
            if let (true, StateMut::Parameter(parameter)) = (is_named(name, prefix), state) {
                parameter.set_frozen(is_frozen);
                count += 1;
            }
        });
        count
    }

    /// Number of learnable numbers.
    fn parameter_count(&self) -> usize {
        let mut count = 0;
        self.visit(&mut |_, state| {
            if let StateRef::Parameter(parameter) = state {
                count += parameter.value().len();
            }
        });
        count
    }
}
