//! Temperature and iterations, call by call.

use moe_search::Schedule;
use serde_json::Value as Json;

use crate::schema::Case;
use crate::{Family, Outcome, assert_changes_are_noticed, compare};

pub(crate) const FAMILY: Family = Family {
    folder: "schedule",
    dtypes: &["float64"],
    config: &["T", "tau_initial", "tau_final", "iters_initial", "iters_final"],
    inputs: &["call"],
    outputs: &["soft", "temp", "n_iters"],
    grads: &[],
    check: |case| check(case).map(|()| Outcome::Agrees),
};

/// A case that agrees.
pub(crate) const SOUND: &str = include_str!("schedule/schedule_T10.json");

fn check(case: &Case<'_>) -> Result<(), String> {
    let file = case.file;
    let schedule = Schedule {
        first_temperature: case.number("tau_initial")?,
        last_temperature: case.number("tau_final")?,
        first_iterations: case.count("iters_initial")?,
        last_iterations: case.count("iters_final")?,
        ..Schedule::default()
    };
    let all = case.count("T")? as f64;
    let count = file.pointer("/inputs/call/shape/0").and_then(Json::as_u64).ok_or("no calls")?;
    let calls = case.input("call", &[count as usize])?;
    let at: Vec<_> = calls.iter().map(|&call| schedule.at(call, all)).collect();
    let soft: Vec<f64> = at.iter().map(|at| f64::from(u8::from(at.is_some()))).collect();
    case.compare("soft", &soft, &[soft.len()])?;
    // Of the calls that are soft, which come first.
    let temperatures: Vec<f64> = at.iter().flatten().map(|at| at.temperature).collect();
    case.compare("temp", &temperatures, &[temperatures.len()])?;
    let iterations: Vec<f64> = at.iter().flatten().map(|at| at.iterations as f64).collect();
    case.compare("n_iters", &iterations, &[iterations.len()])
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let pointers = [
        "/config/T",
        "/config/tau_initial",
        "/config/tau_final",
        "/inputs/call/data/2",
        "/outputs/soft/data/9",
        "/outputs/temp/data/0",
        "/outputs/n_iters/data/4",
    ];
    assert_changes_are_noticed(&FAMILY, SOUND, &pointers);
}
