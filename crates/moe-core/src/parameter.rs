//! Learnable tensors and the named state of anything that owns some.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::kernel::Packed;
use crate::ops::{Weight, matrix_shape};
use crate::tensor::Tensor;

/// Identity of a [`Parameter`] within this process. Used as a key only: nothing depends on its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterId(u64);

/// A learnable tensor. It has an identity, so that a parameter used twice (tied) is one leaf of the tape.
#[derive(Debug)]
pub struct Parameter {
    id: ParameterId,
    value: Tensor,
    is_frozen: bool,
    /// The value as products of several rows read it, once it has been asked for; nothing if they cannot.
    packed: OnceLock<Option<Box<Packed>>>,
}

impl Parameter {
    /// A parameter that starts at `value`.
    pub fn new(value: Tensor) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = ParameterId(NEXT.fetch_add(1, Ordering::Relaxed));
        Parameter { id, value, is_frozen: false, packed: OnceLock::new() }
    }

    /// Its identity.
    pub fn id(&self) -> ParameterId {
        self.id
    }

    /// The present value.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// The present value, writable: for optimisers and loaders.
    pub fn value_mut(&mut self) -> &mut Tensor {
        self.packed.take();
        &mut self.value
    }

    /// The value as right factor of a product with so many rows. For more than one it is copied in the order in which
    /// products read it: the first time, and again after [`Parameter::value_mut`]. The copy takes as much memory as the
    /// value.
    ///
    /// # Shapes
    /// `[D, O]`, or `[N, D, O]` for N experts
    pub fn weight(&self, rows: usize) -> Weight<'_> {
        if rows <= 1 {
            return Weight::from(&self.value);
        }
        let pack = || {
            let (inputs, outputs) = matrix_shape(&self.value);
            Packed::new(self.value.as_slice(), inputs, outputs).map(Box::new)
        };
        Weight::with(&self.value, self.packed.get_or_init(pack).as_deref())
    }

    /// Whether it keeps its value in training.
    pub fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// A frozen parameter is a constant of every tape, so that nothing is computed for its gradient, and optimisers
    /// pass it over.
    pub fn set_frozen(&mut self, is_frozen: bool) {
        self.is_frozen = is_frozen;
    }
}

/// One named piece of state.
#[derive(Debug)]
pub enum StateRef<'a> {
    /// Learnt by gradient.
    Parameter(&'a Parameter),
    /// Kept with the model but not learnt by gradient (a hash table, a running mean).
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
    /// Learnt by gradient.
    Parameter(&'a mut Parameter),
    /// Kept with the model but not learnt by gradient.
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

/// Passes everything that `visit_child` reports on to `f`, with `prefix.` before its name.
pub fn named(prefix: &str, f: &mut Visit<'_>, visit_child: impl FnOnce(&mut Visit<'_>)) {
    visit_child(&mut |name, state| f(&format!("{prefix}.{name}"), state));
}

/// [`named`] for writers.
pub fn named_mut(prefix: &str, f: &mut VisitMut<'_>, visit_child: impl FnOnce(&mut VisitMut<'_>)) {
    visit_child(&mut |name, state| f(&format!("{prefix}.{name}"), state));
}

/// Writes the methods `visit` and `visit_mut` from one list of a module's state, in the order of the visit.
///
/// An entry is a name, a kind and a field: `"NAME" => parameter FIELD`, `"NAME" => buffer FIELD`, or `"NAME" => child FIELD`
/// for a field with its own state, which is reported as `NAME.…`. `flat FIELD` reports the state of a field under its own
/// names.
///
/// ```
/// use moe_core::{Parameter, StateRef, Tensor, Visit, VisitMut, named_state};
///
/// struct Norm {
///     scale: Parameter,
///     mean: Tensor,
/// }
/// impl Norm {
///     named_state!("scale" => parameter scale, "mean" => buffer mean);
/// }
///
/// struct Network(Norm, Norm);
/// impl Network {
///     named_state!("first" => child 0, flat 1);
/// }
///
/// let norm = || Norm { scale: Parameter::new(Tensor::scalar(1.0)), mean: Tensor::scalar(0.0) };
/// let mut names = Vec::new();
/// let mut network = Network(norm(), norm());
/// network.visit(&mut |name, _| names.push(name.to_string()));
/// assert_eq!(names, ["first.scale", "first.mean", "scale", "mean"]);
/// # network.visit_mut(&mut |name, _| assert_eq!(name, names.remove(0)));
/// ```
#[macro_export]
macro_rules! named_state {
    (@visit $f:ident [$name:literal] parameter $field:expr) => {
        $f($name, $crate::StateRef::Parameter(&$field))
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
    (@visit_mut $f:ident [$name:literal] buffer $field:expr) => {
        $f($name, $crate::StateMut::Buffer(&mut $field))
    };
    (@visit_mut $f:ident [$name:literal] child $field:expr) => {
        $crate::named_mut($name, $f, |f| $field.visit_mut(f))
    };
    (@visit_mut $f:ident [] flat $field:expr) => {
        $field.visit_mut($f)
    };
    ($($($name:literal =>)? $kind:ident $field:tt),+ $(,)?) => {
        fn visit(&self, f: &mut $crate::Visit<'_>) {
            $($crate::named_state!(@visit f [$($name)?] $kind self.$field);)+
        }

        fn visit_mut(&mut self, f: &mut $crate::VisitMut<'_>) {
            $($crate::named_state!(@visit_mut f [$($name)?] $kind self.$field);)+
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{Assignments, ExpertPlan};
    use crate::ops::{affine_then, gathered_affine};
    use crate::random::{chacha, uniform};

    /// Of a layer, and of three experts on one matrix each.
    #[test]
    fn a_packed_weight_gives_the_same_bits_also_after_a_change() {
        let mut rng = chacha(1, "tests", 0);
        let mut of = |shape: &[usize]| uniform(shape, 1.0, &mut rng);
        let (rows, x, bias) = (40, of(&[40, 24]), of(&[3, 32]));
        let (mut layer, mut experts) =
            (Parameter::new(of(&[24, 32])), Parameter::new(of(&[3, 24, 32])));
        let chosen = (0..rows as u32).map(|row| row % 3).collect();
        let assignments = Assignments::new(3, (0..=rows as u32).collect(), chosen).unwrap();
        let plan = ExpertPlan::new(&[&assignments]);
        let computed = |layer: Weight<'_>, experts: Weight<'_>| {
            let (mut y, mut z) = (vec![0.0; rows * 32], vec![0.0; rows * 32]);
            affine_then(&x, layer, None, None, &mut y);
            gathered_affine(&x, experts, &bias, &plan, None, &mut z);
            (y, z)
        };
        let mut before = None;
        for _ in 0..2 {
            let found = computed(layer.weight(rows), experts.weight(rows));
            assert!(layer.packed.get().is_some_and(Option::is_some));
            assert_eq!(found, computed(layer.value().into(), experts.value().into()));
            assert_ne!(Some(&found), before.as_ref(), "the values have changed");
            before = Some(found);
            for parameter in [&mut layer, &mut experts] {
                parameter.value_mut().as_mut_slice().iter_mut().for_each(|value| *value *= -2.0);
            }
        }
    }

    #[test]
    fn a_weight_is_packed_only_for_rows_and_columns_that_it_pays_for() {
        let [wide, narrow] = [32, 3].map(|cols| Parameter::new(Tensor::zeros([24, cols])));
        wide.weight(1);
        assert!(wide.packed.get().is_none(), "one row reads the matrix where it stands");
        narrow.weight(2);
        assert!(narrow.packed.get().is_some_and(Option::is_none), "columns that fill no register");
    }
}
