//! Extreme sizes and values.

use moe_core::{Mode, Real, Tensor};

use crate::conformance::gradients::slopes;
use crate::conformance::promises::{Scale, sound};
use crate::conformance::subject::{Rows, Setting, Size, Subject, decide, observe};
use crate::conformance::verdict::{Failure, Outcome, Verdict};
use crate::gate_set::GateSet;

/// With inputs or parameters times 1e4, and with inputs of zero, weights, losses, telemetry and gradients are finite.
pub(super) fn large_logits(subject: &Subject<'_>) -> Verdict {
    for at in subject.settings() {
        let mut gates = subject.gates(at)?;
        for scale in Scale::ALL {
            let mut rows = at.rows();
            scale.apply(&mut *gates, &mut rows.x);
            finite(&*gates, &rows, at)
                .map_err(|found| Failure::new(format!("{at}{}", scale.suffix()), found))?;
        }
    }
    Ok(Outcome::passed())
}

/// A batch without rows has a routing without rows, finite losses and a backward pass, and its observation leaves the
/// router's state finite.
pub(super) fn empty_batch(subject: &Subject<'_>) -> Verdict {
    for at in subject.settings() {
        let at = Setting { size: Size { rows: 0, ..at.size }, ..at };
        let gates = subject.moved(at.size, at.seed);
        holds(gates.map_err(|why| Failure::new(at, why))?, at)?;
    }
    Ok(Outcome::passed())
}

/// A layer with a single expert keeps every promise, if the router allows it.
pub(super) fn one_expert(subject: &Subject<'_>) -> Verdict {
    at_experts(subject, &[1])
}

/// Numbers of experts that are not powers of two keep every promise, if the router allows them.
pub(super) fn odd_experts(subject: &Subject<'_>) -> Verdict {
    at_experts(subject, &subject.options.odd_experts)
}

fn at_experts(subject: &Subject<'_>, experts: &[usize]) -> Verdict {
    let mut refused = Vec::new();
    for &experts in experts {
        for at in subject.settings() {
            let at = Setting { size: Size { experts, ..at.size }, ..at };
            match subject.moved(at.size, at.seed) {
                Ok(gates) => holds(gates, at)?,
                Err(why) => {
                    refused.push(why);
                    break;
                }
            }
        }
    }
    Ok(match refused.len() {
        0 => Outcome::passed(),
        all if all == experts.len() => Outcome::skipped(refused.remove(0)),
        _ => Outcome::Passed { note: format!("refused: {}", refused.join("; ")) },
    })
}

/// Checks a router of an unusual size.
fn holds(mut gates: Box<dyn GateSet>, at: Setting) -> Result<(), Failure> {
    let rows = at.rows();
    let decisions = decide(&*gates, &rows, at.call());
    sound(&*gates, at.size.rows, &decisions, at)?;
    finite(&*gates, &rows, at).map_err(|found| Failure::new(at, found))?;
    if at.mode == Mode::Infer {
        return Ok(());
    }
    observe(&mut *gates, &rows, at.call());
    let mut problem = Ok(());
    gates.visit(&mut |name, state| {
        if let Some(value) = not_finite(state.tensor()) {
            problem = Err(Failure::new(at, format!("after a step {name} has {value}")));
        }
    });
    problem
}

/// Checks that weights, losses and telemetry are finite, and in training all gradients.
fn finite(gates: &dyn GateSet, rows: &Rows, at: Setting) -> Result<(), String> {
    for (gate, decision) in decide(gates, rows, at.call()).iter().enumerate() {
        for row in 0..decision.assignments.rows() {
            if let Some((expert, weight)) = decision.row(row).iter().find(|(_, w)| !w.is_finite()) {
                return Err(format!(
                    "gate {gate}, row {row}: expected a finite weight for expert {expert}, found {weight}"
                ));
            }
        }
        let named = decision.losses.iter().chain(&decision.telemetry);
        if let Some((name, value)) = named.into_iter().find(|(_, value)| !value.is_finite()) {
            return Err(format!("gate {gate}: expected {name} to be finite, found {value}"));
        }
    }
    if at.mode == Mode::Infer {
        return Ok(());
    }
    for slopes in slopes(gates, rows, at) {
        for (name, gradient) in &slopes.gradients {
            if let Some(value) = not_finite(gradient) {
                return Err(format!("the gradient of {} by {name} has {value}", slopes.term));
            }
        }
    }
    Ok(())
}

fn not_finite(tensor: &Tensor) -> Option<Real> {
    tensor.as_slice().iter().copied().find(|value| !value.is_finite())
}
