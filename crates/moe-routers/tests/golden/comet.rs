//! The gate of COMET. Soft permutations belong to searches.

use moe_routers::{GateSpec, Value};

use crate::common::build;
use crate::gate::{Parameter, check_gate};
use crate::schema::Case;
use crate::{Family, Outcome, assert_changes_are_noticed, compare};

const FAMILY: Family = Family {
    folder: "comet",
    dtypes: &["float64"],
    config: &[
        "B",
        "D",
        "n_experts",
        "k",
        "gamma",
        "entropy_reg",
        "training",
        "permutation",
        "log_prob_eps",
        "entropy_eps",
    ],
    inputs: &["x", "split_w", "split_b", "leaf_w", "leaf_b", "leaf_heap_index", "P", "C"],
    outputs: &["g", "selected", "split_prob", "leaf_prob", "aux_loss", "loss"],
    grads: &["x", "P", "split_w", "split_b", "leaf_w", "leaf_b"],
    check: |case| check(case, "comet"),
};

/// A weight or bias of K trees with `nodes` nodes: the case has nodes first, then trees, then inputs; the gate inputs
/// first, then trees, then nodes.
fn of_nodes(
    name: &'static str,
    input: &'static str,
    (nodes, k): (usize, usize),
    d: Option<usize>,
) -> Parameter {
    let (inputs, columns) = (d.unwrap_or(1), k * nodes);
    let place = |i: usize| {
        let (d, tree, node) = (i / columns, i % columns / nodes, i % nodes);
        (node * k + tree) * inputs + d
    };
    Parameter {
        name,
        input,
        shape: [nodes, k].into_iter().chain(d).collect(),
        own_shape: d.into_iter().chain([columns]).collect(),
        places: (0..inputs * columns).map(place).collect(),
    }
}

/// Checks the case with the constants of `variant`.
pub(crate) fn check(case: &Case<'_>, variant: &str) -> Result<Outcome, String> {
    let (d, n, k) = (case.count("D")?, case.count("n_experts")?, case.count("k")?);
    if case.labels(n)?.is_none() {
        return Ok(Outcome::Later("a soft permutation"));
    }
    let spec = GateSpec { inputs: d, experts: n, k, seed: 1, gate: 0 };
    let options = [
        ("gamma", Value::Real(case.number("gamma")?)),
        ("entropy", Value::Real(case.number("entropy_reg")?)),
        ("variant", Value::Text(variant.into())),
    ];
    let mut gates = build("comet", &spec, 1, &options);
    let mut parameters = vec![
        of_nodes("0.split.weight", "split_w", (n - 1, k), Some(d)),
        of_nodes("0.leaf.weight", "leaf_w", (n, k), Some(d)),
        of_nodes("0.leaf.bias", "leaf_b", (n, k), None),
    ];
    if case.has_input("split_b") {
        parameters.push(of_nodes("0.split.bias", "split_b", (n - 1, k), None));
    }
    check_gate(case, &mut *gates, case.mode()?, &parameters, Some("selected"))?;
    Ok(Outcome::Agrees)
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let text = include_str!("comet/comet_n5_k2_mixed.json");
    let pointers = [
        "/config/gamma",
        "/config/entropy_reg",
        "/inputs/x/data/1/2",
        "/inputs/split_w/data/0/1/3",
        "/inputs/split_b/data/0/1",
        "/inputs/leaf_w/data/3/1/0",
        "/outputs/g/data/0/1",
        "/outputs/aux_loss",
        "/grads/x/data/4/0",
        "/grads/split_w/data/3/1/2",
        "/grads/split_b/data/2/0",
        "/grads/leaf_w/data/4/0/1",
        "/grads/leaf_b/data/0/0",
    ];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
}
