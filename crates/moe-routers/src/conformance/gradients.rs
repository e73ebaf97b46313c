//! Gradients against finite differences.

use std::collections::BTreeMap;

use moe_core::dispatch::Assignments;
use moe_core::random::{Philox, unit};
use moe_core::tape::{Gradient, Tape, Var};
use moe_core::{Real, StateMut, StateRef, Tensor};

use crate::conformance::subject::{Rows, Setting, Subject, route};
use crate::conformance::verdict::{Failure, Outcome, Verdict};
use crate::gate_set::GateSet;
use crate::properties::GradientKind;
use crate::routing::Routing;

/// Half the width of a central difference.
const STEP: Real = 1e-5;
/// Allowed |difference| per unit of the largest gradient of the same tensor, for curvature.
const RELATIVE: f64 = 1e-6;
/// Allowed |difference| besides: rounding of sums over a batch, divided by the step.
const ABSOLUTE: f64 = 1e-8;
/// A gradient no larger than this is rounding: rows and parameters are of size one.
const ROUNDING: Real = 16.0 * Real::EPSILON;
/// Largest number of elements of a tensor that are moved, evenly spread.
const ELEMENTS: usize = 24;

/// Name of the rows among the names of tensors.
const INPUT: &str = "input x";

/// The gradient of the weights with respect to the rows and every parameter agrees with finite differences wherever a
/// step does not change the assignments.
pub(super) fn weight_gradients(subject: &Subject<'_>) -> Verdict {
    compare(subject, |term| term == 0, "")
}

/// The gradient of each auxiliary loss agrees with finite differences.
pub(super) fn loss_gradients(subject: &Subject<'_>) -> Verdict {
    compare(subject, |term| term > 0, "there are no auxiliary losses")
}

/// Every parameter gets a gradient larger than rounding, from the weights or from a loss, in some setting, unless it is
/// frozen or named in [`Options::without_gradient`](super::Options::without_gradient). Gates that declare
/// [`GradientKind::None`] are skipped.
pub(super) fn gradients_reach(subject: &Subject<'_>) -> Verdict {
    let mut reached: BTreeMap<String, bool> = BTreeMap::new();
    for at in subject.training() {
        let gates = subject.gates(at)?;
        if gates.properties().iter().any(|p| p.gradient == GradientKind::None) {
            return Ok(Outcome::skipped("the weights are declared to have no gradient"));
        }
        for slopes in slopes(&*gates, &at.rows(), at) {
            for (name, gradient) in slopes.gradients.into_iter().skip(1) {
                let is_reached = gradient.as_slice().iter().any(|g| g.abs() > ROUNDING);
                *reached.entry(name).or_default() |= is_reached;
            }
        }
    }
    if reached.is_empty() {
        return Ok(Outcome::skipped("there are no parameters to learn"));
    }
    let left =
        |(name, reached): &(&String, &bool)| !**reached && subject.options.needs_gradient(name);
    match reached.iter().find(left) {
        None => Ok(Outcome::passed()),
        Some((name, _)) => Err(Failure::new(
            format!("parameter {name}"),
            "expected a gradient from the weights or an auxiliary loss, found none in any setting",
        )),
    }
}

/// The gradient of one term.
pub(super) struct Slopes {
    /// "weights", or the gate and the name of the loss.
    pub(super) term: String,
    /// Gradient of the rows, then of each parameter that is not frozen, by name.
    pub(super) gradients: Vec<(String, Tensor)>,
}

/// The gradients of the weights and of each auxiliary loss.
pub(super) fn slopes(gates: &dyn GateSet, rows: &Rows, at: Setting) -> Vec<Slopes> {
    let tape = Tape::new();
    let x = tape.variable(rows.x.clone());
    let routings = route(gates, x, rows, at.call());
    let of = |(term, value): (String, Var<'_>)| {
        let found = tape.backward(value);
        let of_x = found.wrt(x).unwrap_or_else(|| Tensor::zeros(*rows.x.shape()));
        let mut gradients = vec![(INPUT.to_string(), of_x)];
        gates.visit(&mut |name, state| match state {
            StateRef::Parameter(parameter) if !parameter.is_frozen() => {
                let zeros = || Tensor::zeros(*parameter.value().shape());
                let gradient = found.get(parameter).cloned();
                gradients.push((name.into(), gradient.map_or_else(zeros, Gradient::into_dense)));
            }
            _ => {}
        });
        Slopes { term, gradients }
    };
    terms(&routings, rows, &tape).into_iter().map(of).collect()
}

/// The weights times a random cotangent, then every auxiliary loss.
fn terms<'t>(routings: &[Routing<'t>], rows: &Rows, tape: &'t Tape) -> Vec<(String, Var<'t>)> {
    let mut weights = tape.constant(Tensor::scalar(0.0));
    let mut losses = Vec::new();
    for (gate, routing) in routings.iter().enumerate() {
        let cotangent = tape.constant(cotangent(&routing.assignments, rows, gate));
        weights = weights + (routing.weights * cotangent).sum();
        for loss in &routing.aux_losses {
            losses.push((format!("gate {gate} {}", loss.name), loss.value));
        }
    }
    losses.insert(0, ("weights".into(), weights));
    losses
}

/// A number in [-1, 1) for each pair, which depends only on gate, row and expert.
fn cotangent(assignments: &Assignments, rows: &Rows, gate: usize) -> Tensor {
    let philox = Philox::new(0, "conformance.cotangent", gate as u64);
    let mut values = Vec::with_capacity(assignments.pairs());
    for (row, &id) in rows.ids.iter().enumerate().take(assignments.rows()) {
        let draw = |&expert: &u32| 2.0 * unit(philox.row_block(id, expert, 0)[0]) - 1.0;
        values.extend(assignments.of_row(row).iter().map(draw));
    }
    Tensor::new([values.len()], values)
}

/// Numbers of elements compared, and left out because the assignments changed.
#[derive(Default)]
struct Count {
    compared: usize,
    flipped: usize,
}

fn compare(subject: &Subject<'_>, wanted: fn(usize) -> bool, none: &str) -> Verdict {
    if size_of::<Real>() < 8 {
        return Ok(Outcome::skipped("finite differences need doubles: build with moe-core/f64"));
    }
    let mut count = Count::default();
    for at in subject.training() {
        let mut gates = subject.gates(at)?;
        if gates.properties().iter().any(|p| p.gradient == GradientKind::Estimated) {
            return Ok(Outcome::skipped("the gradient is declared an estimate"));
        }
        compare_at(&mut *gates, at, wanted, &mut count)?;
    }
    let Count { compared, flipped } = count;
    if compared + flipped == 0 {
        return Ok(Outcome::skipped(none));
    }
    if compared < flipped {
        let found = format!(
            "expected the assignments to stay at half of the elements or more when one is moved by {STEP}, found \
             {compared} of {}",
            compared + flipped
        );
        return Err(Failure::new("all settings", found));
    }
    Ok(Outcome::Passed {
        note: format!("{compared} elements compared, {flipped} left out where assignments change"),
    })
}

fn compare_at(
    gates: &mut dyn GateSet,
    at: Setting,
    wanted: fn(usize) -> bool,
    count: &mut Count,
) -> Result<(), Failure> {
    let mut rows = at.rows();
    let analytic: Vec<Slopes> = slopes(gates, &rows, at);
    let wanted: Vec<usize> = (0..analytic.len()).filter(|&term| wanted(term)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    for (index, (tensor, first)) in analytic[0].gradients.iter().enumerate() {
        let size = first.len();
        for element in (0..size).step_by(size.div_ceil(ELEMENTS).max(1)) {
            let mut probe = |distance| values_at(gates, &mut rows, at, tensor, element, distance);
            let (low, high) = (probe(-STEP), probe(STEP));
            if low.assignments != high.assignments || low.terms.len() != high.terms.len() {
                count.flipped += 1;
                continue;
            }
            count.compared += 1;
            for &term in &wanted {
                let rise = high.terms[term] - low.terms[term];
                let numeric = rise / f64::from(high.element - low.element);
                let (_, gradient) = &analytic[term].gradients[index];
                let largest = gradient.as_slice().iter().fold(0.0, |m: Real, g| m.max(g.abs()));
                let allowed = ABSOLUTE + RELATIVE * f64::from(largest).max(numeric.abs());
                let analytic_value = f64::from(gradient.as_slice()[element]);
                let agree = (analytic_value - numeric).abs() <= allowed;
                if !agree {
                    let found = format!(
                        "gradient of {} by element {} of {tensor}: {numeric} by central difference, \
                         {analytic_value} by the backward pass",
                        analytic[term].term,
                        position(&gradient.shape()[..], element)
                    );
                    return Err(Failure::new(at, found));
                }
            }
        }
    }
    Ok(())
}

/// The terms at a point.
struct Values {
    /// Value of the moved element.
    element: Real,
    assignments: Vec<Assignments>,
    terms: Vec<f64>,
}

/// The terms with one element moved; the element is restored afterwards.
fn values_at(
    gates: &mut dyn GateSet,
    rows: &mut Rows,
    at: Setting,
    tensor: &str,
    element: usize,
    distance: Real,
) -> Values {
    let (mut before, mut moved) = (0.0, 0.0);
    with_tensor(gates, rows, tensor, |tensor| {
        let value = &mut tensor.as_mut_slice()[element];
        before = *value;
        *value += distance;
        moved = *value;
    });
    let tape = Tape::inference();
    let routings = route(gates, tape.constant(rows.x.clone()), rows, at.call());
    let terms = terms(&routings, rows, &tape);
    let values = Values {
        element: moved,
        terms: terms.iter().map(|(_, value)| f64::from(value.value().item())).collect(),
        assignments: routings.into_iter().map(|routing| routing.assignments).collect(),
    };
    with_tensor(gates, rows, tensor, |tensor| tensor.as_mut_slice()[element] = before);
    values
}

/// Calls `f` with the rows or a parameter.
fn with_tensor(
    gates: &mut dyn GateSet,
    rows: &mut Rows,
    name: &str,
    mut f: impl FnMut(&mut Tensor),
) {
    if name == INPUT {
        return f(&mut rows.x);
    }
    gates.visit_mut(&mut |visited, state| {
        if let StateMut::Parameter(parameter) = state
            && visited == name
        {
            f(parameter.value_mut());
        }
    });
}

/// The indices of an element in row-major order.
fn position(shape: &[usize], mut element: usize) -> String {
    let mut indices: Vec<usize> = Vec::new();
    for &dim in shape.iter().rev() {
        indices.push(element % dim);
        element /= dim;
    }
    indices.reverse();
    format!("{indices:?}")
}
