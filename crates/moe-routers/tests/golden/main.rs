//! Numbers of the authors' own code, and of well-known public code for the baselines: experts, weights, losses and
//! gradients.
//!
//! There is one JSON file per case in `golden/<family>/`; `MOE_GOLDEN_DIR` names another folder with such families. Each
//! family is one file here, which lists the keys of its cases and checks one. A case that the router cannot do alone is
//! counted but left out. The gradient of a permutation is not compared.
#![allow(clippy::print_stdout, reason = "cases that are left out are counted")]

mod cases;
#[path = "../common/mod.rs"]
mod common;
mod gate;
mod schema;

mod comet;
mod comet_bert;
mod dselect_k;
mod expert_choice;
mod hash;
mod losses;
mod moesart;
mod smoothstep;
mod softmax;
mod topk;
mod vmoe;
mod xmoe;

use cases::{Family, Outcome, assert_changes_are_noticed, check, compare, refusal};
use serde_json::Value as Json;

/// A case that agrees, from the source tree regardless of the environment.
fn sound() -> Json {
    serde_json::from_str(topk::SOUND).unwrap()
}

#[test]
fn an_unknown_form_is_refused() {
    let refused = |change: &dyn Fn(&mut Json)| {
        let mut case = sound();
        change(&mut case);
        check(&topk::FAMILY, &case).unwrap_err()
    };
    assert_eq!(
        refused(&|case| case["config"]["capacity"] = 3.into()),
        "unknown setting \"capacity\""
    );
    assert_eq!(refused(&|case| case["inputs"]["u"] = 3.into()), "unknown input \"u\"");
    assert_eq!(refused(&|case| case["outputs"]["aux"] = 3.into()), "unknown output \"aux\"");
    assert_eq!(refused(&|case| case["grads"]["u"] = 3.into()), "unknown gradient \"u\"");
    assert_eq!(refused(&|case| case["more"] = 3.into()), "unknown key \"more\"");
    assert_eq!(refused(&|case| case["family"] = "softmax".into()), "of another family");
    assert_eq!(refused(&|case| case["dtype"] = "float32".into()), "not in float64");
    assert_eq!(refused(&|case| case["grads"] = Json::Null), "no object \"grads\"");
    let shape = refused(&|case| case["config"]["B"] = 5.into());
    assert!(shape.contains("has not the shape [5, "), "{shape}");
    let missing = refused(&|case| case["inputs"]["w"]["data"][0] = Json::Null);
    assert!(missing.contains("\"w\" has not the shape"), "{missing}");
    assert_eq!(check(&topk::FAMILY, &Json::Null).unwrap_err(), "not an object");
    assert!(check(&softmax::FAMILY, &sound()).is_err());
}
