//! The gate of V-MoE with its capacity, of the authors' code.

use moe_core::tape::Tape;
use moe_core::{Mode, Real};
use moe_routers::{
    AuxOptions, CapacityOptions, GateSet, GateSpec, Routing, ServeOrder, VMoe, VMoeOptions,
};

use crate::common::route;
use crate::gate::{Parameter, capacity_factor, check_gate, given_noise};
use crate::schema::{Case, real};
use crate::{Family, Outcome, assert_changes_are_noticed, compare};

const FAMILY: Family = Family {
    folder: "vmoe",
    dtypes: &["float64"],
    config: &[
        "B",
        "D",
        "n_experts",
        "k",
        "noise_std",
        "effective_noise_std",
        "deterministic",
        "importance_loss_weight",
        "load_loss_weight",
        "gshard_loss_weight",
        "capacity",
        "batch_priority",
    ],
    inputs: &["x", "w", "noise", "C"],
    outputs: &[
        "probs",
        "g",
        "selected_before_capacity",
        "selected_after_capacity",
        "aux_loss",
        "loss",
        "importance_loss",
        "load_loss",
        "gshard_loss",
    ],
    grads: &["x", "w"],
    check,
};

/// Losses by their name in a routing, with their weights and values in the case.
const LOSSES: [[&str; 3]; 3] = [
    ["importance", "importance_loss_weight", "importance_loss"],
    ["load", "load_loss_weight", "load_loss"],
    ["load-balance", "gshard_loss_weight", "gshard_loss"],
];

fn gates(case: &Case<'_>, limited: bool) -> Result<Box<dyn GateSet>, String> {
    let (d, n, k) = (case.count("D")?, case.count("n_experts")?, case.count("k")?);
    let weight = |key| case.number(key).map(|weight| weight as Real);
    let is_noisy = !case.flag("deterministic")?;
    let options = VMoeOptions {
        noise_std: if is_noisy { weight("noise_std")? } else { 0.0 },
        load: weight("load_loss_weight")?,
        gshard: weight("gshard_loss_weight")?,
        aux: AuxOptions { importance: weight("importance_loss_weight")?, ..AuxOptions::default() },
    };
    let spec = GateSpec { inputs: d, experts: n, k, seed: 1, gate: 0 };
    let gates = given_noise(case, VMoe::new(&spec, options), VMoe::route_with_noise)?;
    let by_priority = case.flag("batch_priority")?;
    let limits = CapacityOptions {
        factor: if limited { capacity_factor(case, k)? } else { 0.0 },
        order: if by_priority { ServeOrder::Priority } else { ServeOrder::Position },
        ..CapacityOptions::default()
    };
    Ok(limits.limit(gates))
}

fn check(case: &Case<'_>) -> Result<Outcome, String> {
    let (rows, d, n) = (case.count("B")?, case.count("D")?, case.count("n_experts")?);
    let parameters = [Parameter::same("0.weight", "w", &[d, n])];
    let mut limited = gates(case, true)?;
    check_gate(case, &mut *limited, Mode::Train, &parameters, Some("selected_after_capacity"))?;

    let mut free = gates(case, false)?;
    parameters[0].set(case, &mut *free)?;
    let tape = Tape::inference();
    let x = tape.constant(real(&case.input("x", &[rows, d])?, &[rows, d]));
    let routing = route(&*free, x, Mode::Train).remove(0);
    case.compare_sets("selected_before_capacity", &routing.assignments)?;
    compare_losses(case, &routing)?;
    Ok(Outcome::Agrees)
}

fn compare_losses(case: &Case<'_>, routing: &Routing<'_>) -> Result<(), String> {
    let has_load = !case.flag("deterministic")? && case.number("noise_std")? > 0.0;
    for [name, weight, output] in LOSSES {
        let weight = case.number(weight)?;
        let found = routing.aux_losses.iter().find(|loss| loss.name == name);
        if weight == 0.0 || name == "load" && !has_load {
            assert!(found.is_none(), "{name}");
            continue;
        }
        let found = found.ok_or_else(|| format!("no loss {name}"))?;
        case.compare_number(output, f64::from(found.value.value().item()) / weight)?;
    }
    Ok(())
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let text = include_str!("vmoe/vmoe_n4_k2_capacity_bpr.json");
    let pointers = [
        "/inputs/noise/data/0/1",
        "/inputs/w/data/3/1",
        "/outputs/g/data/0/1",
        "/outputs/aux_loss",
        "/outputs/load_loss",
        "/outputs/importance_loss",
        "/grads/x/data/5/2",
        "/grads/w/data/3/0",
    ];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
    let sound: serde_json::Value = serde_json::from_str(text).unwrap();
    for (key, value) in [("capacity", 1.into()), ("batch_priority", false.into())] {
        let mut case = sound.clone();
        case["config"][key] = value;
        let error = crate::check(&FAMILY, &case).unwrap_err();
        assert!(error.contains("goes to"), "{key}: {error}");
    }
}
