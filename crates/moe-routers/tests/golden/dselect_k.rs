//! The gate of DSelect-k in COMET's code, per row and static. Soft permutations belong to searches.

use moe_core::tape::Tape;
use moe_core::{Mode, Tensor};
use moe_routers::aux_loss::total_loss;
use moe_routers::{GateSet, GateSpec, Value};

use crate::common::{self, build};
use crate::gate::{Parameter, check_gate};
use crate::schema::{Case, doubles, real};
use crate::{Family, Outcome, assert_changes_are_noticed, compare};

const FAMILY: Family = Family {
    folder: "dselect_k",
    dtypes: &["float64"],
    config: &[
        "B",
        "D",
        "n_experts",
        "n_bits",
        "k",
        "gamma",
        "entropy_reg",
        "zeta",
        "training",
        "permutation",
        "static",
        "entropy_eps",
        "reachability_eps",
    ],
    inputs: &["x", "z_w", "z_b", "w_w", "w_b", "z", "w", "codes", "P", "C"],
    outputs: &[
        "g",
        "selectors",
        "selected",
        "entropy_loss",
        "reachability_loss",
        "aux_loss",
        "loss",
    ],
    grads: &["x", "P", "z_w", "z_b", "w_w", "w_b", "z", "w"],
    check,
};

fn check(case: &Case<'_>) -> Result<Outcome, String> {
    let (n, k, bits) = (case.count("n_experts")?, case.count("k")?, case.count("n_bits")?);
    if case.labels(n)?.is_none() {
        return Ok(Outcome::Later("a soft permutation"));
    }
    let is_static = case.has_input("z");
    let d = if is_static { 1 } else { case.count("D")? };
    let spec = GateSpec { inputs: d, experts: n, k, seed: 1, gate: 0 };
    let options = [
        ("gamma", Value::Real(case.number("gamma")?)),
        ("entropy", Value::Real(case.number("entropy_reg")?)),
        ("reachability", Value::Real(case.number("zeta")?)),
        ("static", Value::Bool(is_static)),
    ];
    let mut gates = build("dselect-k", &spec, 1, &options);
    if is_static {
        let code = Parameter::same("0.code", "z", &[k, bits]);
        let selector = Parameter::same("0.selector", "w", &[k]);
        let parameters = [
            Parameter { own_shape: vec![1, k * bits], ..code },
            Parameter { own_shape: vec![1, k], ..selector },
        ];
        check_static(case, &mut *gates, n, &parameters)?;
    } else {
        // The axes selector and bit of the codes are one axis of the gate.
        let code = Parameter::turned("0.code.weight", "z_w", k * bits, d);
        let code_bias = Parameter::same("0.code.bias", "z_b", &[k, bits]);
        let parameters = [
            Parameter { shape: vec![k, bits, d], ..code },
            Parameter { own_shape: vec![k * bits], ..code_bias },
            Parameter::turned("0.selector.weight", "w_w", k, d),
            Parameter::same("0.selector.bias", "w_b", &[k]),
        ];
        check_gate(case, &mut *gates, case.mode()?, &parameters, Some("selected"))?;
    }
    Ok(Outcome::Agrees)
}

/// Checks a selection that is the same for all rows: weights and `C` have no axis of rows.
fn check_static(
    case: &Case<'_>,
    gates: &mut dyn GateSet,
    n: usize,
    parameters: &[Parameter],
) -> Result<(), String> {
    for parameter in parameters {
        parameter.set(case, gates)?;
    }
    let tape = Tape::new();
    let x = tape.constant(Tensor::zeros([1, 1]));
    let routing = common::route(gates, x, Mode::Train).remove(0);
    case.compare("g", &doubles(&routing.to_dense()), &[n])?;
    let c = tape.constant(real(&case.input("C", &[n])?, &[1, n]));
    let zero = tape.constant(Tensor::scalar(0.0));
    let aux_loss = total_loss(zero, &routing.aux_losses);
    case.compare_number("aux_loss", f64::from(aux_loss.value().item()))?;
    let loss = (routing.weights * c.gather_assigned(&routing.assignments)).sum() + aux_loss;
    case.compare_number("loss", f64::from(loss.value().item()))?;
    let of = common::gradients_of(gates, &tape.backward(loss));
    parameters.iter().try_for_each(|parameter| parameter.compare(case, &of[parameter.name]))
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let text = include_str!("dselect_k/dselect_n5_k2_nonpow2.json");
    let pointers = [
        "/config/gamma",
        "/config/entropy_reg",
        "/config/zeta",
        "/inputs/x/data/1/2",
        "/inputs/z_w/data/0/1/3",
        "/inputs/w_w/data/1/3",
        "/inputs/w_b/data/1",
        "/outputs/g/data/0/1",
        "/outputs/entropy_loss",
        "/outputs/reachability_loss",
        "/grads/x/data/4/0",
        "/grads/z_w/data/1/2/3",
        "/grads/z_b/data/0/1",
        "/grads/w_w/data/1/3",
        "/grads/w_b/data/0",
    ];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
    let text = include_str!("dselect_k/dselect_static_n8_k2.json");
    let pointers =
        ["/inputs/z/data/1/2", "/outputs/g/data/3", "/grads/z/data/0/1", "/grads/w/data/1"];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
}
