//! The top-k gate of COMET's code, with and without jitter. Permutations belong to searches.

use moe_core::Mode;
use moe_routers::{GateSet, GateSpec, NoisyTopK, NoisyTopKOptions};
use serde_json::Value as Json;

use crate::common::build;
use crate::gate::{Parameter, check_gate, given_noise};
use crate::schema::Case;
use crate::{Family, Outcome, assert_changes_are_noticed, compare, refusal, sound};

pub(crate) const FAMILY: Family = Family {
    folder: "topk",
    dtypes: &["float64"],
    config: &["B", "D", "n_experts", "k", "jitter", "training", "permutation"],
    inputs: &["x", "w", "b", "C", "P", "w_noise", "noise"],
    outputs: &["g", "loss", "selected_before_permutation"],
    grads: &["x", "w", "b", "P", "w_noise"],
    check,
};

/// A case that agrees.
pub(crate) const SOUND: &str = include_str!("topk/topk_n8_k3.json");

fn check(case: &Case<'_>) -> Result<Outcome, String> {
    let (d, n, k) = (case.count("D")?, case.count("n_experts")?, case.count("k")?);
    let mode = case.mode()?;
    if case.is_permuted(n)? {
        return Ok(Outcome::Later("a permutation"));
    }
    let spec = GateSpec { inputs: d, experts: n, k, seed: 1, gate: 0 };
    let mut parameters =
        vec![Parameter::turned("0.weight", "w", n, d), Parameter::same("0.bias", "b", &[n])];
    let mut gates: Box<dyn GateSet> = build("top-k", &spec, 1, &[]);
    if mode == Mode::Train && case.flag("jitter")? {
        let gate = NoisyTopK::new(&spec, NoisyTopKOptions::default());
        gates = given_noise(case, gate, NoisyTopK::route_with_noise)?;
        parameters.push(Parameter::turned("0.noise", "w_noise", n, d));
    }
    check_gate(case, &mut *gates, mode, &parameters, Some("selected_before_permutation"))?;
    Ok(Outcome::Agrees)
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let pointers = [
        "/inputs/x/data/1/2",
        "/inputs/w/data/3/1",
        "/inputs/b/data/0",
        "/inputs/C/data/0/3",
        "/outputs/loss",
        "/grads/x/data/5/4",
        "/grads/w/data/7/0",
        "/grads/b/data/6",
    ];
    assert_changes_are_noticed(&FAMILY, SOUND, &pointers);
    assert!(refusal(&FAMILY, SOUND, "/outputs/g/data/0/0", 1e-4).starts_with("g is"));
    let first = "/outputs/selected_before_permutation/data/0/0";
    let other = (sound().pointer(first).and_then(Json::as_u64).unwrap() + 1) % 8;
    assert!(refusal(&FAMILY, SOUND, first, other).starts_with("row 0 goes to"));
}

#[test]
fn a_changed_noise_is_noticed() {
    let text = include_str!("topk/topk_n8_k2_noise.json");
    let pointers =
        ["/inputs/noise/data/1/1", "/inputs/w_noise/data/7/1", "/grads/w_noise/data/2/0"];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
}

#[test]
fn permutations_are_left_to_searches() {
    let mut case = sound();
    case["inputs"]["P"]["data"][2][0][0] = 0.5.into();
    assert_eq!(crate::check(&FAMILY, &case), Ok(Outcome::Later("a permutation")));
    // There is no jitter in inference.
    let mut case = sound();
    case["config"]["jitter"] = true.into();
    case["config"]["training"] = false.into();
    assert_eq!(crate::check(&FAMILY, &case), Ok(Outcome::Agrees));
}
