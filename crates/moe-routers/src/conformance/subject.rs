//! The router under test, its inputs, and its decisions apart from their tapes.

use std::collections::BTreeMap;
use std::fmt;

use moe_core::dispatch::Assignments;
use moe_core::random::{chacha, uniform};
use moe_core::tape::{Tape, Var};
use moe_core::{Mode, Pass, Real, StateMut, Tensor};

use crate::conformance::verdict::Failure;
use crate::gate_set::GateSet;
use crate::observed::Observed;
use crate::registry::info::GateSpec;
use crate::routing::{Routing, Routings};

/// Size of a batch and of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Number of rows (B).
    pub rows: usize,
    /// Width of the input (D).
    pub inputs: usize,
    /// Number of experts (N).
    pub experts: usize,
}

/// The extent of the checks, and those that the router is excused from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Sizes used by most checks.
    pub sizes: Vec<Size>,
    /// A size at which kernels run in parallel, for checks of threads and batches.
    pub wide: Size,
    /// Numbers of experts for `odd_experts`.
    pub odd_experts: Vec<usize>,
    /// Number of experts per row (K); N if that is smaller.
    pub k: usize,
    /// Seeds of weights, rows and draws; at least one.
    pub seeds: Vec<u64>,
    /// Numbers of threads among which results must not differ.
    pub threads: Vec<usize>,
    /// Parameters that need no gradient, by the end of their name; see [`Options::without_gradient`].
    pub without_gradient: Vec<String>,
    /// Checks that are left out, with the reason; see [`Options::without`].
    pub left_out: BTreeMap<String, String>,
}

impl Default for Options {
    /// Options for a quick run: less than a second for a router with a few hundred parameters.
    fn default() -> Self {
        Options {
            sizes: vec![
                Size { rows: 6, inputs: 3, experts: 4 },
                Size { rows: 9, inputs: 5, experts: 8 },
            ],
            wide: Size { rows: 2200, inputs: 16, experts: 16 },
            odd_experts: vec![3, 6, 7],
            k: 2,
            seeds: vec![1, 2],
            threads: vec![1, 2, 7],
            without_gradient: Vec::new(),
            left_out: BTreeMap::new(),
        }
    }
}

impl Options {
    /// Leaves a check out; the report gives the reason.
    pub fn without(mut self, check: &str, why: &str) -> Self {
        self.left_out.insert(check.into(), why.into());
        self
    }

    /// Excuses a parameter from having a gradient, such as the gate of a top-1 softmax. `weight` stands for `weight`
    /// and for every name that ends with `.weight`. (Frozen parameters need not be named.)
    pub fn without_gradient(mut self, parameter: &str) -> Self {
        self.without_gradient.push(parameter.into());
        self
    }

    pub(super) fn needs_gradient(&self, name: &str) -> bool {
        !self.without_gradient.iter().any(|end| {
            name.strip_suffix(end).is_some_and(|start| start.is_empty() || start.ends_with('.'))
        })
    }
}

/// Builds a gate set, or says why it cannot.
pub type Build<'a> = dyn Fn(&GateSpec) -> Result<Box<dyn GateSet>, String> + 'a;

/// The router under test.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Builds the gates of the router.
    pub build: &'a Build<'a>,
    /// Extent of the checks.
    pub options: &'a Options,
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a router under {:?}", self.options)
    }
}

impl Subject<'_> {
    /// Gates with parameters moved away from their initial values, where biases are zero and logits may be equal; an
    /// error if the router refuses this size.
    pub(super) fn moved(&self, size: Size, seed: u64) -> Result<Box<dyn GateSet>, String> {
        let Size { inputs, experts, .. } = size;
        let spec = GateSpec { inputs, experts, k: self.options.k.min(experts), seed, gate: 0 };
        let mut gates = (self.build)(&spec)?;
        let mut rng = chacha(seed, "conformance.parameters", 0);
        change_parameters(&mut *gates, |value| {
            value.add_assign(&uniform(*value.shape(), 0.3, &mut rng));
        });
        Ok(gates)
    }

    /// [`Subject::moved`], with a refusal as a failure.
    pub(super) fn gates(&self, at: Setting) -> Result<Box<dyn GateSet>, Failure> {
        self.moved(at.size, at.seed)
            .map_err(|why| Failure::new(at, format!("it is refused: {why}")))
    }

    /// All sizes and seeds in both modes.
    pub(super) fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        for &size in &self.options.sizes {
            for &seed in &self.options.seeds {
                for mode in [Mode::Train, Mode::Infer] {
                    settings.push(Setting { size, seed, mode });
                }
            }
        }
        settings
    }

    /// All sizes and seeds in training.
    pub(super) fn training(&self) -> impl Iterator<Item = Setting> {
        self.settings().into_iter().filter(|at| at.mode == Mode::Train)
    }
}

/// Applies `f` to the value of every parameter.
pub(super) fn change_parameters(gates: &mut dyn GateSet, mut f: impl FnMut(&mut Tensor)) {
    gates.visit_mut(&mut |_, state| {
        if let StateMut::Parameter(parameter) = state {
            f(parameter.value_mut());
        }
    });
}

/// The size, seed and mode of a check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) size: Size,
    pub(super) seed: u64,
    pub(super) mode: Mode,
}

impl Setting {
    /// The rows of this setting.
    pub(super) fn rows(&self) -> Rows {
        Rows::new(self.size, self.seed)
    }

    /// The call of this setting.
    pub(super) fn call(&self) -> Call {
        Call { mode: self.mode, seed: self.seed, step: 3, epoch: 1 }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { rows, inputs, experts } = self.size;
        let mode = match self.mode {
            Mode::Train => "training",
            Mode::Infer => "inference",
        };
        write!(f, "B = {rows}, D = {inputs}, N = {experts}, seed {}, {mode}", self.seed)
    }
}

/// B rows with their ids, keys and planted groups.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub(super) x: Tensor,
    pub(super) ids: Vec<u64>,
    pub(super) keys: Vec<u64>,
    pub(super) groups: Vec<u32>,
}

impl Rows {
    /// Rows from U(-1, 1), whose ids are not their positions in the batch.
    fn new(size: Size, seed: u64) -> Self {
        let Size { rows, inputs, .. } = size;
        let x = uniform([rows, inputs], 1.0, &mut chacha(seed, "conformance.rows", 0));
        let ids = (0..rows as u64).map(|row| 1000 + 7 * row).collect();
        let keys = (0..rows as u64).map(|row| row * row % 101).collect();
        let groups = (0..rows as u32).map(|row| row * row % 13).collect();
        Rows { x, ids, keys, groups }
    }

    /// The rows `picked`, in that order.
    pub(super) fn pick(&self, picked: &[usize]) -> Rows {
        let x = picked.iter().flat_map(|&row| self.x.row(row)).copied().collect();
        Rows {
            x: Tensor::new([picked.len(), self.x.cols()], x),
            ids: picked.iter().map(|&row| self.ids[row]).collect(),
            keys: picked.iter().map(|&row| self.keys[row]).collect(),
            groups: picked.iter().map(|&row| self.groups[row]).collect(),
        }
    }
}

/// Mode, seed, step and epoch of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) mode: Mode,
    pub(super) seed: u64,
    pub(super) step: u64,
    pub(super) epoch: u64,
}

impl Call {
    /// The pass of `rows`.
    pub(super) fn pass(self, rows: &Rows) -> Pass<'_> {
        let Call { mode, seed, step, epoch } = self;
        let (row_ids, groups) = (&rows.ids[..], Some(&rows.groups[..]));
        Pass { mode, seed, step, epoch, row_ids, groups, ..Pass::of_keys(&rows.keys) }
    }
}

/// Routes `rows`, whose inputs are `x` on the tape.
pub(super) fn route<'t>(gates: &dyn GateSet, x: Var<'t>, rows: &Rows, call: Call) -> Routings<'t> {
    gates.route(&call.pass(rows), x)
}

/// The decision of a gate, without its tape.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    pub(super) mode: Mode,
    pub(super) assignments: Assignments,
    pub(super) weights: Tensor,
    pub(super) losses: Vec<(&'static str, f64)>,
    pub(super) telemetry: Vec<(&'static str, f64)>,
    pub(super) observed: Observed,
}

/// One decision per gate. Only training is recorded and observed.
pub(super) fn decide(gates: &dyn GateSet, rows: &Rows, call: Call) -> Vec<Decision> {
    let tape = match call.mode {
        Mode::Train => Tape::new(),
        Mode::Infer => Tape::inference(),
    };
    let routings = route(gates, tape.constant(rows.x.clone()), rows, call);
    let decision = |routing: Routing<'_>| Decision {
        mode: call.mode,
        weights: routing.weights.value(),
        losses: routing
            .aux_losses
            .iter()
            .map(|loss| (loss.name, f64::from(loss.value.value().item())))
            .collect(),
        assignments: routing.assignments,
        telemetry: routing.telemetry.into_vec(),
        observed: routing.observed,
    };
    routings.into_iter().map(decision).collect()
}

/// Runs a step and passes what the gates observed back to them.
pub(super) fn observe(gates: &mut dyn GateSet, rows: &Rows, call: Call) {
    let observed: Vec<_> = decide(gates, rows, call).into_iter().map(|d| d.observed).collect();
    gates.after_step(&observed);
}

/// Returns whether these are the same experts with the same bits of weight.
pub(super) fn same_bits(one: &[(u32, Real)], other: &[(u32, Real)]) -> bool {
    let bits = |&(expert, weight): &(u32, Real)| (expert, weight.to_bits());
    one.iter().map(bits).eq(other.iter().map(bits))
}

impl Decision {
    /// The experts of a row and their weights.
    pub(super) fn row(&self, row: usize) -> Vec<(u32, Real)> {
        let pairs = self.assignments.pairs_of(row);
        let weights = self.weights.as_slice()[pairs].iter().copied();
        self.assignments.of_row(row).iter().copied().zip(weights).collect()
    }

    /// Returns whether both decisions route a row to the same experts with the same bits of weight.
    pub(super) fn same_row(&self, row: usize, other: &Decision, other_row: usize) -> bool {
        same_bits(&self.row(row), &other.row(other_row))
    }

    /// Describes the first difference between two decisions, bit by bit.
    fn difference(&self, other: &Decision) -> Option<String> {
        if self.assignments.rows() != other.assignments.rows() {
            return Some("the number of rows differs".into());
        }
        let rows = 0..self.assignments.rows();
        if let Some(row) = rows.into_iter().find(|&row| !self.same_row(row, other, row)) {
            let (here, there) = (self.row(row), other.row(row));
            return Some(format!("row {row} has (expert, weight) {here:?} and {there:?}"));
        }
        let bits = |values: &[(&'static str, f64)]| -> Vec<_> {
            values.iter().map(|(name, value)| (*name, value.to_bits())).collect()
        };
        if bits(&self.losses) != bits(&other.losses) {
            return Some(format!("losses are {:?} and {:?}", self.losses, other.losses));
        }
        if bits(&self.telemetry) != bits(&other.telemetry) {
            return Some(format!("telemetry is {:?} and {:?}", self.telemetry, other.telemetry));
        }
        (self.observed != other.observed)
            .then(|| format!("observed are {:?} and {:?}", self.observed, other.observed))
    }
}

/// Describes the first difference between the decisions of two gate sets, bit by bit.
pub(super) fn difference(one: &[Decision], other: &[Decision]) -> Option<String> {
    if one.len() != other.len() {
        return Some(format!("there are {} and {} routings", one.len(), other.len()));
    }
    let mut gates = one.iter().zip(other).enumerate();
    gates.find_map(|(gate, (a, b))| Some(format!("gate {gate}: {}", a.difference(b)?)))
}
