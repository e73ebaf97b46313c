//! Gates under given permutations, among them the cases of the routers, and COMET with a permutation that is being learnt.

use moe_core::tape::{Tape, Var};
use moe_core::{Mode, Pass, Real, Tensor};
use moe_routers::aux_loss::total_loss;
use moe_routers::{
    GateSet, GateSpec, NoisyTopK, NoisyTopKOptions, Observed, Relabelled, Routing, Share, Value,
};
use moe_search::{Learning, SearchOptions, Searched, permute_parts, permute_routing};
use serde_json::Value as Json;

use crate::common::{self, build};
use crate::gate::{Parameter, compare_sets, given_noise};
use crate::schema::{Case, doubles, real};
use crate::{Family, Outcome, assert_changes_are_noticed, compare};

const FAMILY: Family = Family {
    folder: "permuted",
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
        "jitter",
        "training",
        "static",
        "permutation",
        "log_prob_eps",
        "entropy_eps",
        "reachability_eps",
        "perm_entropy_reg",
        "T",
        "call",
        "soft",
        "temp",
        "n_iters",
        "last_soft_temp",
        "last_soft_n_iters",
    ],
    inputs: &[
        "x",
        "z_w",
        "z_b",
        "w_w",
        "w_b",
        "z",
        "codes",
        "split_w",
        "split_b",
        "leaf_w",
        "leaf_b",
        "leaf_heap_index",
        "w",
        "b",
        "w_noise",
        "noise",
        "expert_index",
        "log_alpha",
        "P",
        "C",
    ],
    outputs: &[
        "g",
        "P",
        "selectors",
        "selected",
        "selected_before_permutation",
        "split_prob",
        "leaf_prob",
        "entropy_loss",
        "reachability_loss",
        "aux_loss",
        "gate_aux_loss",
        "perm_aux_loss",
        "loss",
    ],
    grads: &[
        "x",
        "P",
        "log_alpha",
        "z_w",
        "z_b",
        "w_w",
        "w_b",
        "split_w",
        "split_b",
        "leaf_w",
        "leaf_b",
        "z",
        "w",
        "b",
        "w_noise",
    ],
    check,
};

/// The cases of a router. One without a permutation is left out, one with the identity is not.
const fn of_router(folder: &'static str) -> Family {
    Family { folder, ..FAMILY }
}

/// Sizes of a case.
#[derive(Clone, Copy)]
struct Sizes {
    rows: usize,
    d: usize,
    n: usize,
    k: usize,
}

fn check(case: &Case<'_>) -> Result<Outcome, String> {
    if !case.has_input("P") && !case.has_input("log_alpha") {
        return Ok(Outcome::Later("no permutation"));
    }
    let d = if case.has_input("x") { case.count("D")? } else { 1 };
    let (rows, n, k) = (case.count("B")?, case.count("n_experts")?, case.count("k")?);
    let sizes = Sizes { rows, d, n, k };
    let (mut gates, parameters) = gate(case, sizes)?;
    if case.has_input("log_alpha") {
        check_learning(case, sizes, gates, &parameters)?;
        return Ok(Outcome::Agrees);
    }
    for parameter in &parameters {
        parameter.set(case, &mut *gates)?;
    }
    check_given(case, sizes, &*gates, &parameters)?;
    check_relabelled(case, sizes, gates)?;
    Ok(Outcome::Agrees)
}

/// The gate of a case and its parameters; those of a gate that is not one of the crates' are none.
fn gate(case: &Case<'_>, sizes: Sizes) -> Result<(Box<dyn GateSet>, Vec<Parameter>), String> {
    let Sizes { d, n, k, .. } = sizes;
    let spec = GateSpec { inputs: d, experts: n, k, seed: 1, gate: 0 };
    let number = |key| case.number(key).map(Value::Real);
    if case.has_input("split_w") {
        let options = [("gamma", number("gamma")?), ("entropy", number("entropy_reg")?)];
        let parameters = vec![
            of_nodes("0.split.weight", "split_w", (n - 1, k), Some(d)),
            of_nodes("0.split.bias", "split_b", (n - 1, k), None),
            of_nodes("0.leaf.weight", "leaf_w", (n, k), Some(d)),
            of_nodes("0.leaf.bias", "leaf_b", (n, k), None),
        ];
        Ok((build("comet", &spec, 1, &options), parameters))
    } else if case.has_input("z_w") {
        let options = [
            ("gamma", number("gamma")?),
            ("entropy", number("entropy_reg")?),
            ("reachability", number("zeta")?),
        ];
        let bits = case.count("n_bits")?;
        let code = Parameter::turned("0.code.weight", "z_w", k * bits, d);
        let code_bias = Parameter::same("0.code.bias", "z_b", &[k, bits]);
        let parameters = vec![
            Parameter { shape: vec![k, bits, d], ..code },
            Parameter { own_shape: vec![k * bits], ..code_bias },
            Parameter::turned("0.selector.weight", "w_w", k, d),
            Parameter::same("0.selector.bias", "w_b", &[k]),
        ];
        Ok((build("dselect-k", &spec, 1, &options), parameters))
    } else if case.has_input("expert_index") {
        let mut gates = build("hash", &spec, 1, &[("buckets", Value::Int(sizes.rows as i64))]);
        let table = real(&case.input("expert_index", &[sizes.rows])?, &[sizes.rows]);
        common::set(&mut *gates, "0.table", &table);
        Ok((gates, Vec::new()))
    } else {
        let mut parameters =
            vec![Parameter::turned("0.weight", "w", n, d), Parameter::same("0.bias", "b", &[n])];
        if case.mode()? == Mode::Infer || !case.flag("jitter")? {
            return Ok((build("top-k", &spec, 1, &[]), parameters));
        }
        parameters.push(Parameter::turned("0.noise", "w_noise", n, d));
        let gate = NoisyTopK::new(&spec, NoisyTopKOptions::default());
        Ok((given_noise(case, gate, NoisyTopK::route_with_noise)?, parameters))
    }
}

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

/// The rows of a case.
fn inputs<'t>(case: &Case<'_>, sizes: Sizes, tape: &'t Tape) -> Result<Var<'t>, String> {
    let shape = [sizes.rows, sizes.d];
    let x = if case.has_input("x") { case.input("x", &shape)? } else { vec![0.0; sizes.rows] };
    Ok(tape.variable(real(&x, &shape)))
}

/// The gate times the permutation of the case, with the gradients of everything.
fn check_given(
    case: &Case<'_>,
    sizes: Sizes,
    gates: &dyn GateSet,
    parameters: &[Parameter],
) -> Result<(), String> {
    let Sizes { rows, n, k, .. } = sizes;
    let shape = [k, n, n];
    let p = case.input("P", &shape)?;
    let tape = Tape::new();
    let (x, matrices) = (inputs(case, sizes, &tape)?, tape.variable(real(&p, &shape)));
    let ids: Vec<u64> = (0..rows as u64).collect();
    let pass = pass(case.mode()?, &ids);
    let routing = match gates.as_parts() {
        Some(sums) => permute_parts(sums.route_parts(&pass, x).remove(0), matrices),
        None => {
            let routing = gates.route(&pass, x).remove(0);
            if case.has_output("selected_before_permutation") {
                case.compare_sets("selected_before_permutation", &routing.assignments)?;
            }
            permute_routing(routing, matrices, true)
        }
    };
    if case.has_output("selected") {
        compare_sets(case, "selected", &routing.assignments, &doubles(&routing.to_dense()))?;
    }
    let gradients = tape.backward(compare_loss(case, sizes, &tape, &routing)?);
    if case.has_grad("x") {
        let gradient = gradients.wrt(x).unwrap_or_else(|| Tensor::zeros(x.shape()));
        case.compare_grad("x", &doubles(&gradient), &x.shape())?;
    }
    let of = common::gradients_of(gates, &gradients);
    assert_eq!(of.len(), parameters.len(), "every parameter is compared");
    parameters.iter().try_for_each(|parameter| parameter.compare(case, &of[parameter.name]))?;
    // An expert without weight is not computed, so that nothing is known of the loss of giving it one: where an entry
    // is zero it has no gradient here.
    let reference = flat(case.file.pointer("/grads/P/data").unwrap_or(&Json::Null));
    let found = doubles(&gradients.wrt(matrices).expect("the loss depends on the permutation"));
    let known = found.iter().zip(&reference).zip(&p);
    let known: Vec<f64> = known.map(|((f, r), p)| if *p == 0.0 { *r } else { *f }).collect();
    case.compare_grad("P", &known, &shape)
}

/// Where the permutation of the case is hard, the same weights by relabelling.
fn check_relabelled(case: &Case<'_>, sizes: Sizes, gates: Box<dyn GateSet>) -> Result<(), String> {
    let Sizes { rows, n, k, .. } = sizes;
    let p = case.input("P", &[k, n, n])?;
    if p.iter().any(|&v| v != 0.0 && v != 1.0) {
        return Ok(());
    }
    let label = |row: &[f64]| row.iter().position(|&v| v == 1.0).expect("a label") as u32;
    let labels = p.chunks(n * n).map(|matrix| matrix.chunks(n).map(label).collect()).collect();
    let relabelled = Relabelled::new(gates, Share::Part(k), labels);
    let tape = Tape::inference();
    let ids: Vec<u64> = (0..rows as u64).collect();
    let routing = relabelled.route(&pass(Mode::Train, &ids), inputs(case, sizes, &tape)?).remove(0);
    case.compare("g", &doubles(&routing.to_dense()), &[rows, n])
}

/// Compares the weights, each loss, and the sum that is minimised.
fn compare_loss<'t>(
    case: &Case<'_>,
    sizes: Sizes,
    tape: &'t Tape,
    routing: &Routing<'t>,
) -> Result<Var<'t>, String> {
    let shape = [sizes.rows, sizes.n];
    case.compare("g", &doubles(&routing.to_dense()), &shape)?;
    let item = |value: Var<'_>| f64::from(value.value().item());
    for loss in &routing.aux_losses {
        let key = format!("{}_loss", loss.name);
        if case.has_output(&key) {
            case.compare_number(&key, item(loss.value))?;
        }
    }
    if case.has_output("aux_loss") {
        let losses = routing.aux_losses.iter().map(|loss| item(loss.value));
        case.compare_number("aux_loss", losses.sum())?;
    }
    let c = tape.constant(real(&case.input("C", &shape)?, &shape));
    let c = c.gather_assigned(&routing.assignments);
    let loss = total_loss((routing.weights * c).sum(), &routing.aux_losses);
    case.compare_number("loss", item(loss))?;
    Ok(loss)
}

/// All calls up to that of the case, on the same logits; then the matrices, weights, losses and gradients of that one.
fn check_learning(
    case: &Case<'_>,
    sizes: Sizes,
    gates: Box<dyn GateSet>,
    parameters: &[Parameter],
) -> Result<(), String> {
    let Sizes { rows, n, k, .. } = sizes;
    let options = SearchOptions {
        learning: Learning::Steps(case.count("T")? as u64),
        entropy: case.number("perm_entropy_reg")? as Real,
        ..SearchOptions::default()
    };
    let mut searched = Searched::new(gates, options, 1);
    for parameter in parameters {
        parameter.set(case, &mut searched)?;
    }
    let log_alpha = real(&case.input("log_alpha", &[1, n, n])?, &[1, n, n]);
    common::set(&mut searched, "permutation.log_alpha", &log_alpha);
    let ids: Vec<u64> = (0..rows as u64).collect();
    let pass = pass(Mode::Train, &ids);
    for _ in 1..case.count("call")? {
        let tape = Tape::new();
        let routings = searched.route(&pass, inputs(case, sizes, &tape)?);
        let observed: Vec<Observed> = routings.into_iter().map(|r| r.observed).collect();
        searched.after_step(&observed);
    }
    let tape = Tape::new();
    let x = inputs(case, sizes, &tape)?;
    let routing = searched.route(&pass, x).remove(0);
    let is_of_permutation = |name: &str| name == "permutation-entropy";
    let sum_of = |wanted: bool| {
        let losses = routing.aux_losses.iter();
        let losses = losses.filter(|loss| is_of_permutation(loss.name) == wanted);
        losses.map(|loss| f64::from(loss.value.value().item())).sum::<f64>()
    };
    case.compare_number("gate_aux_loss", sum_of(false))?;
    case.compare_number("perm_aux_loss", sum_of(true))?;
    let gradients = tape.backward(compare_loss(case, sizes, &tape, &routing)?);
    let gradient = gradients.wrt(x).expect("the gate depends on the rows");
    case.compare_grad("x", &doubles(&gradient), &[rows, sizes.d])?;
    let gradient = common::gradients_of(&searched, &gradients).remove("permutation.log_alpha");
    case.compare_grad("log_alpha", &doubles(&gradient.expect("reported")), &[1, n, n])?;

    searched.after_step(&[routing.observed]);
    let matrix = match case.flag("soft")? {
        true => doubles(searched.soft()),
        false => {
            let labels = &searched.permutations()[0];
            let entry = |i: usize| f64::from(u8::from(labels[i / n] as usize == i % n));
            (0..n * n).map(entry).collect()
        }
    };
    case.compare("P", &matrix.repeat(k), &[k, n, n])
}

fn pass(mode: Mode, ids: &[u64]) -> Pass<'_> {
    Pass {
        mode,
        seed: 3,
        step: 0,
        epoch: 0,
        row_ids: ids,
        keys: ids,
        groups: None,
        batch_rows: None,
        experts: None,
    }
}

/// All numbers of nested lists.
fn flat(data: &Json) -> Vec<f64> {
    match data {
        Json::Array(list) => list.iter().flat_map(flat).collect(),
        number => number.as_f64().into_iter().collect(),
    }
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn routers_agree() {
    for folder in ["comet", "dselect_k", "hash", "topk"] {
        compare(&of_router(folder));
    }
}

#[test]
fn a_changed_number_of_a_router_is_noticed() {
    let text = include_str!("../../../moe-routers/tests/golden/comet/comet_n6_k2_perm_soft.json");
    let pointers = [
        "/inputs/P/data/1/2/3",
        "/inputs/leaf_w/data/3/1/0",
        "/outputs/g/data/0/1",
        "/outputs/aux_loss",
        "/grads/P/data/0/2/2",
        "/grads/split_b/data/2/0",
    ];
    assert_changes_are_noticed(&of_router("comet"), text, &pointers);
    let text = include_str!("../../../moe-routers/tests/golden/hash/hash_n8_hard.json");
    let pointers = ["/inputs/P/data/0/0/1", "/outputs/g/data/1/3", "/outputs/loss"];
    assert_changes_are_noticed(&of_router("hash"), text, &pointers);
    let text = include_str!("../../../moe-routers/tests/golden/topk/topk_n8_k2_noise.json");
    let pointers = ["/inputs/noise/data/1/1", "/grads/w_noise/data/2/0", "/outputs/loss"];
    assert_changes_are_noticed(&of_router("topk"), text, &pointers);
    let text = include_str!("../../../moe-routers/tests/golden/dselect_k/dselect_n8_k2.json");
    let pointers = ["/inputs/P/data/0/2/2", "/outputs/g/data/0/1", "/grads/w_b/data/0"];
    assert_changes_are_noticed(&of_router("dselect_k"), text, &pointers);
    let text =
        include_str!("../../../moe-routers/tests/golden/dselect_k/dselect_static_n8_k2.json");
    let unpermuted = crate::check(&of_router("dselect_k"), &serde_json::from_str(text).unwrap());
    assert_eq!(unpermuted, Ok(Outcome::Later("no permutation")));
}

#[test]
fn a_changed_number_is_noticed() {
    let text = include_str!("permuted/perm_dselect_n5_k2_soft.json");
    let pointers = [
        "/inputs/P/data/1/2/3",
        "/inputs/x/data/0/1",
        "/outputs/g/data/0/1",
        "/outputs/entropy_loss",
        "/grads/P/data/0/2/2",
        "/grads/z_w/data/1/2/3",
        "/grads/w_b/data/0",
    ];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
    let text = include_str!("permuted/perm_topk_n5_k2_mean_of_two.json");
    let pointers =
        ["/inputs/x/data/1/2", "/outputs/g/data/0/1", "/grads/w/data/0/1", "/grads/b/data/0"];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
    let text = include_str!("permuted/perm_hash_n6_k2_soft.json");
    let pointers = ["/inputs/P/data/1/2/3", "/outputs/g/data/2/1", "/grads/P/data/0/0/1"];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
    let text = include_str!("permuted/perm_e2e_comet_n6_k2.json");
    let pointers = [
        "/config/T",
        "/config/call",
        "/config/perm_entropy_reg",
        "/inputs/log_alpha/data/0/2/3",
        "/inputs/leaf_b/data/1/1",
        "/outputs/P/data/0/2/2",
        "/outputs/P/data/1/2/2",
        "/outputs/gate_aux_loss",
        "/outputs/perm_aux_loss",
        "/grads/log_alpha/data/0/5/0",
    ];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
    let text = include_str!("permuted/perm_e2e_comet_n8_k2_hard.json");
    let pointers = ["/outputs/P/data/0/0/7", "/outputs/g/data/1/1", "/outputs/loss"];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
}
