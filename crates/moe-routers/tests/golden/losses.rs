//! Auxiliary losses of Flaxformer, V-MoE and Tutel, on given logits.

use moe_core::tape::{Tape, Var};
use moe_core::{Real, Tensor};
use moe_routers::aux_loss;
use moe_routers::top_k_assignments;

use crate::schema::{Case, doubles, real};
use crate::{Family, Outcome, assert_changes_are_noticed, compare};

const FAMILY: Family = Family {
    folder: "losses",
    dtypes: &["float64", "float32"],
    config: &["B", "n_experts", "k", "loss", "gate_noise", "noise_std_effective"],
    inputs: &["logits", "noise"],
    outputs: &["aux_loss", "importance_loss", "load_loss"],
    grads: &["logits", "logits_importance", "logits_load"],
    check,
};

fn check(case: &Case<'_>) -> Result<Outcome, String> {
    let shape = [case.count("B")?, case.count("n_experts")?];
    let tape = Tape::new();
    let logits = tape.variable(real(&case.input("logits", &shape)?, &shape));
    let k = || case.count("k");
    let noisy = |scale: Real| -> Result<Var<'_>, String> {
        let noise = real(&case.input("noise", &shape)?, &shape);
        Ok(logits + tape.constant(noise).scale(scale))
    };
    let agrees = |value: Var<'_>, output: &str, grad: &str| {
        case.compare_number(output, f64::from(value.value().item()))?;
        let gradient = tape.backward(value).wrt(logits).ok_or("no gradient")?;
        case.compare_grad(grad, &doubles(&gradient), &shape)
    };
    let value = match case.text("loss")? {
        "router_z" => aux_loss::router_z(logits, 1.0).value,
        "switch_load_balance" => {
            let p = logits.softmax();
            aux_loss::load_balance(p, &top_k_assignments(&p.value(), k()?), 1.0).value
        }
        "gshard_top1" => aux_loss::load_balance_top1(logits.softmax(), 1.0).value,
        "vmoe_importance_and_load" => {
            let std = case.number("noise_std_effective")? as Real;
            let importance = aux_loss::importance(logits.softmax(), 1.0).value;
            agrees(importance, "importance_loss", "logits_importance")?;
            let load = aux_loss::load(logits, noisy(std)?, std, k()?, 1.0).value;
            agrees(load, "load_loss", "logits_load")?;
            return Ok(Outcome::Agrees);
        }
        // The mean of both, with the unbiased variance and with probabilities held against a threshold of logits. The
        // noise is recorded with its deviation.
        "tutel_load_importance" => {
            let p = logits.softmax();
            let n = shape[1] as Real;
            let std = case.number("gate_noise")? as Real / n;
            let importance = aux_loss::importance(p, 1.0).value;
            let load = aux_loss::load(p, noisy(1.0)?, std, k()?, 1.0).value;
            (importance + load).scale(0.5 * n / (n - 1.0))
        }
        other => return Err(format!("unknown loss \"{other}\"")),
    };
    agrees(value, "aux_loss", "logits")?;
    Ok(Outcome::Agrees)
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let text = include_str!("losses/vmoe_importance_load_n5_k2.json");
    let pointers = [
        "/inputs/logits/data/0/1",
        "/outputs/importance_loss",
        "/outputs/load_loss",
        "/grads/logits_load/data/2/3",
        "/grads/logits_importance/data/2/3",
    ];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
    let text = include_str!("losses/router_z_loss_n5.json");
    assert_changes_are_noticed(&FAMILY, text, &["/outputs/aux_loss", "/grads/logits/data/5/1"]);
    let empty = Tensor::zeros([0, 3]);
    let tape = Tape::new();
    let none = tape.variable(empty);
    assert_eq!(aux_loss::router_z(none, 1.0).value.value().item(), 0.0);
}
