//! The softmax gate, of PyTorch.

use moe_core::Mode;
use moe_routers::{GateSpec, Value};

use crate::common::build;
use crate::gate::{Parameter, check_gate};
use crate::schema::Case;
use crate::{Family, Outcome, assert_changes_are_noticed, compare};

pub(crate) const FAMILY: Family = Family {
    folder: "softmax",
    dtypes: &["float64"],
    config: &["B", "D", "n_experts", "tau"],
    inputs: &["x", "w", "b", "C"],
    outputs: &["g", "loss"],
    grads: &["x", "w", "b"],
    check,
};

fn check(case: &Case<'_>) -> Result<Outcome, String> {
    let (d, n) = (case.count("D")?, case.count("n_experts")?);
    let spec = GateSpec { inputs: d, experts: n, k: n, seed: 1, gate: 0 };
    let temperature = Value::Real(case.number("tau")?);
    let mut gates = build("softmax", &spec, 1, &[("temperature", temperature)]);
    let parameters =
        [Parameter::turned("0.weight", "w", n, d), Parameter::same("0.bias", "b", &[n])];
    check_gate(case, &mut *gates, Mode::Train, &parameters, None)?;
    Ok(Outcome::Agrees)
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let text = include_str!("softmax/softmax_n5.json");
    assert_changes_are_noticed(
        &FAMILY,
        text,
        &["/config/tau", "/inputs/w/data/2/1", "/outputs/g/data/1/3", "/grads/b/data/4"],
    );
}
