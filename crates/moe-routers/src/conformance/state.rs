//! The state of a router.

use std::collections::BTreeMap;

use moe_core::{Mode, StateMut, StateRef, Tensor};

use crate::conformance::subject::{Call, Setting, Subject, decide, difference, observe};
use crate::conformance::verdict::{Failure, Outcome, Verdict};
use crate::gate_set::GateSet;

/// `visit` and `visit_mut` report the same parameters and buffers under the same names, each once, in the same order.
pub(super) fn visits_agree(subject: &Subject<'_>) -> Verdict {
    for at in subject.training() {
        let mut gates = subject.gates(at)?;
        let (mut read, mut written) = (Vec::new(), Vec::new());
        gates.visit(&mut |name, state| {
            let kind = match state {
                StateRef::Parameter(parameter) => Some(parameter.id()),
                StateRef::Buffer(_) => None,
            };
            read.push((name.to_string(), kind, state.tensor().clone()));
        });
        gates.visit_mut(&mut |name, mut state| {
            let kind = match &state {
                StateMut::Parameter(parameter) => Some(parameter.id()),
                StateMut::Buffer(_) => None,
            };
            written.push((name.to_string(), kind, state.tensor_mut().clone()));
        });
        let names = |states: &[(String, _, Tensor)]| -> Vec<String> {
            states.iter().map(|(name, _, _)| name.clone()).collect()
        };
        if names(&read) != names(&written) {
            let (read, written) = (names(&read), names(&written));
            let found = format!(
                "expected the same names of both, found {read:?} by `visit` and {written:?}"
            );
            return Err(Failure::new(at, found + " by `visit_mut`"));
        }
        for (index, (a, b)) in read.iter().zip(&written).enumerate() {
            if a.1 != b.1 || a.2 != b.2 {
                return Err(Failure::new(at, format!("{} is not the same in both visits", a.0)));
            }
            if read[..index].iter().any(|earlier| earlier.0 == a.0) {
                return Err(Failure::new(at, format!("two pieces of state have the name {}", a.0)));
            }
        }
    }
    Ok(Outcome::passed())
}

/// The state that `visit` reports is complete: copied by name, after a few steps of training, into gates of another
/// seed, it makes them decide alike, now and after one more step.
pub(super) fn state_is_whole(subject: &Subject<'_>) -> Verdict {
    for at in subject.settings() {
        let mut gates = subject.gates(at)?;
        let rows = at.rows();
        let call = |step| Call { mode: Mode::Train, step, ..at.call() };
        (0..3).for_each(|step| observe(&mut *gates, &rows, call(step)));
        let saved = saved(&*gates);
        let elsewhere = Setting { seed: at.seed + 1000, ..at };
        let mut loaded = subject.gates(elsewhere)?;
        load(&mut *loaded, &saved).map_err(|found| Failure::new(at, found))?;
        for after in ["", " and one more step"] {
            let decisions = [&gates, &loaded].map(|gates| decide(&**gates, &rows, at.call()));
            if let Some(found) = difference(&decisions[0], &decisions[1]) {
                let found = format!(
                    "expected gates of another seed to decide alike after their visited state was copied{after}; {found}"
                );
                return Err(Failure::new(at, found));
            }
            for gates in [&mut gates, &mut loaded] {
                observe(&mut **gates, &rows, call(3));
            }
        }
    }
    Ok(Outcome::passed())
}

fn saved(gates: &dyn GateSet) -> BTreeMap<String, Tensor> {
    let mut saved = BTreeMap::new();
    gates.visit(&mut |name, state| {
        saved.insert(name.into(), state.tensor().clone());
    });
    saved
}

fn load(gates: &mut dyn GateSet, saved: &BTreeMap<String, Tensor>) -> Result<(), String> {
    let mut problem = None;
    gates.visit_mut(&mut |name, mut state| {
        let tensor = state.tensor_mut();
        match saved.get(name) {
            Some(value) if value.shape() == tensor.shape() => *tensor = value.clone(),
            Some(value) => {
                let (here, there) = (value.shape(), tensor.shape());
                problem =
                    Some(format!("{name} has shape {here:?}, and {there:?} with another seed"));
            }
            None => problem = Some(format!("{name} exists only with another seed")),
        }
    });
    problem.map_or(Ok(()), Err)
}
