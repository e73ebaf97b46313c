//! Parameters, and the named state of anything that owns some.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::tensor::Tensor;

/// Identity of a [`Parameter`] within this process. It serves as a key only: nothing depends on its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterId(u64);

/// A trainable tensor. It has an identity, so that a parameter that is used twice (tied) is one leaf of the tape.
#[derive(Debug)]
pub struct Parameter {
    id: ParameterId,
    value: Tensor,
    is_frozen: bool,
}

impl Parameter {
    /// A parameter that starts at `value`.
    pub fn new(value: Tensor) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = ParameterId(NEXT.fetch_add(1, Ordering::Relaxed));
        Parameter { id, value, is_frozen: false }
    }

    /// The identity.
    pub fn id(&self) -> ParameterId {
        self.id
    }

    /// The present value.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// The present value, writable. Optimisers and loaders use it.
    pub fn value_mut(&mut self) -> &mut Tensor {
        &mut self.value
    }

    /// Returns whether the parameter keeps its value in training.
    pub fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// Freezes the parameter or lets it learn again. A frozen parameter is a constant of every tape, so that nothing is computed
    /// for its gradient, and optimisers skip it.
    pub fn set_frozen(&mut self, is_frozen: bool) {
        self.is_frozen = is_frozen;
    }
}

/// One named piece of state.
#[derive(Debug)]
pub enum StateRef<'a> {
    /// A tensor that is learnt by gradient.
    Parameter(&'a Parameter),
    /// A tensor that is saved with the model but not learnt by gradient (a hash table, a running mean).
    Buffer(&'a Tensor),
}

impl StateRef<'_> {
    /// The tensor behind either kind.
    pub fn tensor(&self) -> &Tensor {
        match self {
            StateRef::Parameter(p) => p.value(),
            StateRef::Buffer(t) => t,
        }
    }
}

/// One named piece of state, writable.
#[derive(Debug)]
pub enum StateMut<'a> {
    /// A tensor that is learnt by gradient.
    Parameter(&'a mut Parameter),
    /// A tensor that is saved with the model but not learnt by gradient.
    Buffer(&'a mut Tensor),
}

impl StateMut<'_> {
    /// The tensor behind either kind.
    pub fn tensor_mut(&mut self) -> &mut Tensor {
        match self {
            StateMut::Parameter(p) => p.value_mut(),
            StateMut::Buffer(t) => t,
        }
    }
}

/// A visitor of named state; see [`named`].
pub type Visit<'v> = dyn FnMut(&str, StateRef<'_>) + 'v;

/// A visitor of named state that may write; see [`named_mut`].
pub type VisitMut<'v> = dyn FnMut(&str, StateMut<'_>) + 'v;

/// Passes everything that `visit_child` reports to `f`, with `prefix.` before its name.
pub fn named(prefix: &str, f: &mut Visit<'_>, visit_child: impl FnOnce(&mut Visit<'_>)) {
    visit_child(&mut |name, state| f(&format!("{prefix}.{name}"), state));
}

/// [`named`] for a visitor that may write.
pub fn named_mut(prefix: &str, f: &mut VisitMut<'_>, visit_child: impl FnOnce(&mut VisitMut<'_>)) {
    visit_child(&mut |name, state| f(&format!("{prefix}.{name}"), state));
}

/// Writes the methods `visit` and `visit_mut` from one list of a module's state, in the order of the visit.
///
/// An entry is a name, a kind and a field: `"NAME" => parameter FIELD`, `"NAME" => buffer FIELD`, or `"NAME" => child FIELD`
/// for a field with its own state, which is reported as `NAME.…`. `"NAME" => optional FIELD` is for a parameter that may
/// be absent. `flat FIELD` reports the state of a field under its own names. With `pub` before the list the methods are
/// public.
///
/// ```
/// use moe_core::{Parameter, StateRef, Tensor, Visit, VisitMut, named_state};
///
/// struct Norm {
///     scale: Parameter,
///     shift: Option<Parameter>,
///     mean: Tensor,
/// }
/// impl Norm {
///     named_state!(pub "scale" => parameter scale, "shift" => optional shift, "mean" => buffer mean);
/// }
///
/// struct Network(Norm, Norm);
/// impl Network {
///     named_state!("first" => child 0, flat 1);
/// }
///
/// let scalar = |value| Parameter::new(Tensor::scalar(value));
/// let norm = |shift| Norm { scale: scalar(1.0), shift, mean: Tensor::scalar(0.0) };
/// let mut names = Vec::new();
/// let mut network = Network(norm(Some(scalar(0.0))), norm(None));
/// network.visit(&mut |name, _| names.push(name.to_string()));
/// assert_eq!(names, ["first.scale", "first.shift", "first.mean", "scale", "mean"]);
/// # network.visit_mut(&mut |name, _| assert_eq!(name, names.remove(0)));
/// ```
#[macro_export]
macro_rules! named_state {
    (@visit $f:ident [$name:literal] parameter $field:expr) => {
        $f($name, $crate::StateRef::Parameter(&$field))
    };
    (@visit $f:ident [$name:literal] optional $field:expr) => {
        if let Some(parameter) = &$field {
            $f($name, $crate::StateRef::Parameter(parameter))
        }
    };
    (@visit $f:ident [$name:literal] buffer $field:expr) => {
        $f($name, $crate::StateRef::Buffer(&$field))
    };
    (@visit $f:ident [$name:literal] child $field:expr) => {
        $crate::named($name, $f, |f| $field.visit(f))
    };
    (@visit $f:ident [] flat $field:expr) => {
        $field.visit($f)
    };
    (@visit_mut $f:ident [$name:literal] parameter $field:expr) => {
        $f($name, $crate::StateMut::Parameter(&mut $field))
    };
    (@visit_mut $f:ident [$name:literal] optional $field:expr) => {
        if let Some(parameter) = &mut $field {
            $f($name, $crate::StateMut::Parameter(parameter))
        }
    };
    (@visit_mut $f:ident [$name:literal] buffer $field:expr) => {
        $f($name, $crate::StateMut::Buffer(&mut $field))
    };
    (@visit_mut $f:ident [$name:literal] child $field:expr) => {
        $crate::named_mut($name, $f, |f| $field.visit_mut(f))
    };
    (@visit_mut $f:ident [] flat $field:expr) => {
        $field.visit_mut($f)
    };
    (@methods [$($public:tt)?] $($($name:literal =>)? $kind:ident $field:tt),+ $(,)?) => {
        /// Reports every parameter and buffer by name.
        $($public)? fn visit(&self, f: &mut $crate::Visit<'_>) {
            $($crate::named_state!(@visit f [$($name)?] $kind self.$field);)+
        }

        /// [`Self::visit`], writable.
        $($public)? fn visit_mut(&mut self, f: &mut $crate::VisitMut<'_>) {
            $($crate::named_state!(@visit_mut f [$($name)?] $kind self.$field);)+
        }
    };
    (pub $($state:tt)+) => {
        $crate::named_state!(@methods [pub] $($state)+);
    };
    ($($state:tt)+) => {
        $crate::named_state!(@methods [] $($state)+);
    };
}
