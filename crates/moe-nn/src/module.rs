use moe_core::{Parameter, StateMut, StateRef, Visit, VisitMut, named, named_mut};
use moe_routers::GateSet;

/// Returns whether `name` is `prefix` or begins with it and a dot. The empty prefix matches every name.
pub(crate) fn is_named(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix);
    prefix.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Calls `f` with the name and the value of every parameter, in the order of [`Module::visit`].
pub(crate) fn visit_parameters(
    module: &(impl Module + ?Sized),
    mut f: impl FnMut(&str, &Parameter),
) {
    module.visit(&mut |name, state| {
        if let StateRef::Parameter(parameter) = state {
            f(name, parameter);
        }
    });
}

/// The gates of an MoE layer, with the name of the layer.
pub struct LayerGates<'m> {
    /// Name of the layer, which is also the prefix of its parameters.
    pub layer: &'m str,
    /// Its gates. Others for as many experts may take their place, such as [`GivenGates`](moe_routers::GivenGates).
    pub gates: &'m mut Box<dyn GateSet>,
}

impl std::fmt::Debug for LayerGates<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} gates of layer {}", self.gates.num_gates(), self.layer)
    }
}

/// Anything that owns named parameters and buffers. [`named_state!`](moe_core::named_state) writes both methods from one
/// list.
///
/// Both visits report the same names in the same order; optimisers and saved files rely on it. The components of a name
/// are joined with dots (see [`named`]).
pub trait Module: Send + Sync {
    /// Reports every parameter and buffer by name.
    fn visit(&self, f: &mut Visit<'_>);

    /// [`Module::visit`] with write access.
    fn visit_mut(&mut self, f: &mut VisitMut<'_>);

    /// Copies the weights that inference reads into the order in which products of several rows read them
    /// ([`Weight::pack`](moe_core::ops::Weight::pack)). Predictions keep their bits and take less time; the copies take the
    /// memory of the weights once more. [`Module::visit_mut`], through which weights change, drops them.
    ///
    /// [`Predictor`](crate::Predictor) calls this once; training never does. The default copies nothing.
    fn pack_weights(&mut self) {}

    /// The gates of all MoE layers inside, in the order in which a forward pass computes the layers. Training tells them the
    /// length of training and what they observed, and `moe inspect` looks at them. The default is for a module without an
    /// MoE layer; a module that contains one, or contains a module that may contain one, must pass its gates on.
    fn gates_mut(&mut self) -> Vec<LayerGates<'_>> {
        Vec::new()
    }

    /// Freezes (or unfreezes) every parameter whose name is `prefix` or begins with it and a dot; the empty prefix matches
    /// every name. Returns the number of matching parameters.
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

    /// Number of parameters, counted by elements.
    fn parameter_count(&self) -> usize {
        let mut count = 0;
        visit_parameters(self, |_, parameter| count += parameter.value().len());
        count
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn visit(&self, f: &mut Visit<'_>) {
        (**self).visit(f);
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        (**self).visit_mut(f);
    }

    fn pack_weights(&mut self) {
        (**self).pack_weights();
    }

    fn gates_mut(&mut self) -> Vec<LayerGates<'_>> {
        (**self).gates_mut()
    }
}

/// The modules are named by their index.
impl<M: Module> Module for Vec<M> {
    fn visit(&self, f: &mut Visit<'_>) {
        for (i, module) in self.iter().enumerate() {
            named(&i.to_string(), f, |f| module.visit(f));
        }
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        for (i, module) in self.iter_mut().enumerate() {
            named_mut(&i.to_string(), f, |f| module.visit_mut(f));
        }
    }

    fn pack_weights(&mut self) {
        self.iter_mut().for_each(Module::pack_weights);
    }

    fn gates_mut(&mut self) -> Vec<LayerGates<'_>> {
        self.iter_mut().flat_map(Module::gates_mut).collect()
    }
}
