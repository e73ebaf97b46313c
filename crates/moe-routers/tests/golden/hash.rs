//! The hash gate of COMET's code. Permutations belong to searches.

use moe_core::tape::Tape;
use moe_core::{Mode, Tensor};
use moe_routers::{GateSpec, Value};
use serde_json::Value as Json;

use crate::common::{self, build};
use crate::gate::compare_routing;
use crate::schema::{Case, real};
use crate::{Family, Outcome, assert_changes_are_noticed, compare, refusal};

const FAMILY: Family = Family {
    folder: "hash",
    dtypes: &["float64"],
    config: &["B", "n_experts", "k", "permutation"],
    inputs: &["expert_index", "P", "C"],
    outputs: &["g", "loss"],
    grads: &["P"],
    check,
};

fn check(case: &Case<'_>) -> Result<Outcome, String> {
    let (rows, n, k) = (case.count("B")?, case.count("n_experts")?, case.count("k")?);
    if k != 1 {
        return Err(format!("{k} experts per row"));
    }
    if case.is_permuted(n)? {
        return Ok(Outcome::Later("a permutation"));
    }
    // Row i has key i, so the table is the list of experts.
    let spec = GateSpec { inputs: 1, experts: n, k, seed: 1, gate: 0 };
    let mut gates = build("hash", &spec, 1, &[("buckets", Value::Int(rows as i64))]);
    common::set(&mut *gates, "0.table", &real(&case.input("expert_index", &[rows])?, &[rows]));
    let tape = Tape::new();
    let x = tape.variable(Tensor::zeros([rows, 1]));
    let routing = common::route(&*gates, x, Mode::Train).remove(0);
    compare_routing(case, x, &routing)?;
    Ok(Outcome::Agrees)
}

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let text = include_str!("hash/hash_n5_identity.json");
    let pointers = ["/inputs/C/data/0/4", "/outputs/g/data/1/3", "/outputs/loss"];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
    assert!(refusal(&FAMILY, text, "/inputs/expert_index/data/1", 3).starts_with("g is"));
    let mut case: Json = serde_json::from_str(text).unwrap();
    case["inputs"]["P"]["data"][0][0][0] = 0.5.into();
    assert_eq!(crate::check(&FAMILY, &case), Ok(Outcome::Later("a permutation")));
}
