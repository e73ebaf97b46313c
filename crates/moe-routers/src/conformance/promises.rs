//! The form of a routing, and the promises of the router.

use moe_core::{Mode, Real, Tensor};

use crate::conformance::subject::{Decision, Setting, Subject, change_parameters, decide};
use crate::conformance::verdict::{Failure, Outcome, Verdict};
use crate::gate_set::GateSet;
use crate::properties::{Cardinality, Properties, TotalWeight};

/// A sum of weights may be off by rounding: of a few tens of terms, each by a few units in the last place.
const SUM_SLACK: f64 = 64.0 * Real::EPSILON as f64;

/// There is one routing and one set of properties per gate. A routing is for B rows and N experts, with one weight per
/// pair and experts ascending and below N, and `observed` is for the same rows and load.
pub(super) fn shape(subject: &Subject<'_>) -> Verdict {
    everywhere(subject, &Scale::ALL, |gates, rows, decision, _| shape_of(gates, rows, decision))
}

/// The number of experts of a row agrees with [`Properties::cardinality`].
pub(super) fn cardinality(subject: &Subject<'_>) -> Verdict {
    let is_promised = |properties: &Properties| properties.cardinality != Cardinality::Any;
    let none = "any number of experts per row is declared";
    promise(subject, is_promised, none, &Scale::ALL, cardinality_of)
}

/// The sum of the weights of a row agrees with [`Properties::total_weight`].
pub(super) fn total_weight(subject: &Subject<'_>) -> Verdict {
    let is_promised = |properties: &Properties| properties.total_weight != TotalWeight::Any;
    promise(subject, is_promised, "any total weight is declared", &Scale::ALL, total_weight_of)
}

/// A weight that is exactly zero is not among the pairs, unless the router has a fixed number of experts per row.
/// Logits so large that weights underflow are not used.
pub(super) fn no_zeros(subject: &Subject<'_>) -> Verdict {
    let none = "a fixed number of experts per row keeps its pairs";
    promise(subject, |properties| !is_fixed(properties), none, &Scale::ALL[..2], no_zeros_of)
}

/// All of these checks for one routing.
pub(super) fn sound(
    gates: &dyn GateSet,
    rows: usize,
    decisions: &[Decision],
    at: Setting,
) -> Result<(), Failure> {
    on_gates(gates, decisions, at, |decision, properties| {
        shape_of(gates, rows, decision)?;
        cardinality_of(decision, properties)?;
        total_weight_of(decision, properties)?;
        no_zeros_of(decision, properties)
    })
}

/// Checks `holds` on every gate at these sizes of logits; skipped with the reason `none` if no gate of any size promises
/// it.
fn promise(
    subject: &Subject<'_>,
    is_promised: impl Fn(&Properties) -> bool,
    none: &str,
    scales: &[Scale],
    holds: fn(&Decision, &Properties) -> Result<(), String>,
) -> Verdict {
    let mut found = false;
    for at in subject.training() {
        found |= subject.gates(at)?.properties().iter().any(&is_promised);
    }
    if !found {
        return Ok(Outcome::skipped(none));
    }
    everywhere(subject, scales, |_, _, decision, properties| holds(decision, properties))
}

/// Calls `f(gates, B, decision, properties)` for every gate and setting, at these sizes of logits.
fn everywhere(
    subject: &Subject<'_>,
    scales: &[Scale],
    f: impl Fn(&dyn GateSet, usize, &Decision, &Properties) -> Result<(), String>,
) -> Verdict {
    for at in subject.settings() {
        let mut gates = subject.gates(at)?;
        for &scale in scales {
            let mut rows = at.rows();
            scale.apply(&mut *gates, &mut rows.x);
            let decisions = decide(&*gates, &rows, at.call());
            on_gates(&*gates, &decisions, at, |decision, properties| {
                f(&*gates, at.size.rows, decision, properties)
            })
            .map_err(|failure| Failure::new(failure.at + scale.suffix(), failure.found))?;
        }
    }
    Ok(Outcome::passed())
}

/// Factor by which logits are enlarged. Parameters come last, since they stay enlarged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Plain,
    ZeroInputs,
    LargeInputs,
    LargeParameters,
}

impl Scale {
    pub(super) const ALL: [Scale; 4] =
        [Scale::Plain, Scale::ZeroInputs, Scale::LargeInputs, Scale::LargeParameters];
    const LARGE: Real = 1e4;

    pub(super) fn apply(self, gates: &mut dyn GateSet, x: &mut Tensor) {
        match self {
            Scale::Plain => {}
            Scale::ZeroInputs => *x = x.map(|_| 0.0),
            Scale::LargeInputs => *x = x.map(|v| v * Self::LARGE),
            Scale::LargeParameters => {
                change_parameters(gates, |value| *value = value.map(|v| v * Self::LARGE));
            }
        }
    }

    pub(super) fn suffix(self) -> &'static str {
        match self {
            Scale::Plain => "",
            Scale::ZeroInputs => ", inputs 0",
            Scale::LargeInputs => ", inputs times 1e4",
            Scale::LargeParameters => ", parameters times 1e4",
        }
    }
}

fn on_gates(
    gates: &dyn GateSet,
    decisions: &[Decision],
    at: Setting,
    f: impl Fn(&Decision, &Properties) -> Result<(), String>,
) -> Result<(), Failure> {
    let (count, properties) = (gates.num_gates(), gates.properties());
    if (decisions.len(), properties.len()) != (count, count) {
        let (routings, sets) = (decisions.len(), properties.len());
        let found = format!("{count} gates have {routings} routings and {sets} sets of properties");
        return Err(Failure::new(at, found));
    }
    for (gate, (decision, properties)) in decisions.iter().zip(&properties).enumerate() {
        f(decision, properties)
            .map_err(|found| Failure::new(format!("{at}, gate {gate}"), found))?;
    }
    Ok(())
}

fn shape_of(gates: &dyn GateSet, rows: usize, decision: &Decision) -> Result<(), String> {
    let (assignments, n) = (&decision.assignments, gates.num_experts());
    if (assignments.rows(), assignments.num_experts()) != (rows, n) {
        return Err(format!(
            "expected a routing of {rows} rows among {n} experts, found {} among {}",
            assignments.rows(),
            assignments.num_experts()
        ));
    }
    if decision.weights.shape()[..] != [assignments.pairs()] {
        let (pairs, shape) = (assignments.pairs(), decision.weights.shape());
        return Err(format!("expected {pairs} weights, one per pair, found a shape of {shape:?}"));
    }
    for row in 0..rows {
        let of_row = assignments.of_row(row);
        let below = of_row.last().is_none_or(|&last| (last as usize) < n);
        if !of_row.is_sorted_by(|a, b| a < b) || !below {
            return Err(format!(
                "row {row}: expected ascending experts below {n}, found {of_row:?}"
            ));
        }
    }
    let observed = &decision.observed;
    let is_right = observed.rows == rows && observed.load == assignments.load();
    if decision.mode == Mode::Train && !is_right {
        return Err(format!(
            "expected `observed` to be of {rows} rows with load {:?}, found {} with {:?}",
            assignments.load(),
            observed.rows,
            observed.load
        ));
    }
    Ok(())
}

fn cardinality_of(decision: &Decision, properties: &Properties) -> Result<(), String> {
    for row in 0..decision.assignments.rows() {
        let found = decision.assignments.of_row(row).len();
        let (holds, declared) = match properties.cardinality {
            Cardinality::Exactly(k) => (found == k, format!("{k} experts")),
            Cardinality::AtMost(k) => (found <= k, format!("at most {k} experts")),
            Cardinality::Any => return Ok(()),
        };
        if !holds {
            return Err(format!("row {row}: {declared} are declared, found {found}"));
        }
    }
    Ok(())
}

fn total_weight_of(decision: &Decision, properties: &Properties) -> Result<(), String> {
    for row in 0..decision.assignments.rows() {
        let sum: f64 = decision.row(row).iter().map(|&(_, weight)| f64::from(weight)).sum();
        let (holds, declared) = match properties.total_weight {
            TotalWeight::One => ((sum - 1.0).abs() <= SUM_SLACK, "to be 1"),
            TotalWeight::AtMostOne => {
                ((-SUM_SLACK..=1.0 + SUM_SLACK).contains(&sum), "to be from 0 to 1")
            }
            TotalWeight::Any => return Ok(()),
        };
        if !holds {
            return Err(format!(
                "row {row}: the sum of weights is declared {declared}, found {sum}"
            ));
        }
    }
    Ok(())
}

fn no_zeros_of(decision: &Decision, properties: &Properties) -> Result<(), String> {
    if is_fixed(properties) {
        return Ok(());
    }
    for row in 0..decision.assignments.rows() {
        if let Some((expert, _)) = decision.row(row).iter().find(|(_, weight)| *weight == 0.0) {
            return Err(format!(
                "row {row}: expected no pair with a weight of exactly 0, found expert {expert}"
            ));
        }
    }
    Ok(())
}

fn is_fixed(properties: &Properties) -> bool {
    matches!(properties.cardinality, Cardinality::Exactly(_))
}
