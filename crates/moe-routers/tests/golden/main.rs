//! Numbers of the authors' own code, and of well-known public code for the baselines: experts, weights, losses and
//! gradients.
//!
//! There is one JSON file per case in `golden/<family>/`; `MOE_GOLDEN_DIR` names another folder with such families. Each
//! family is one file here, which lists the keys of its cases and checks one. A case whose permutation is more than a
//! relabelling is counted but left to the suite of the searches, which also compares the gradients of permutations.
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

use cases::{Family, Outcome, assert_changes_are_noticed, check, compare, compare_in, refusal};
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

#[test]
fn a_folder_may_lack_a_family_but_must_hold_cases() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let other = root.join("topk");
    std::fs::create_dir(&other).unwrap();
    let refused = || std::panic::catch_unwind(|| compare_in(root, &softmax::FAMILY)).is_err();
    assert!(refused(), "an empty folder");
    std::fs::write(other.join("case.json"), "{\"family\": \"softmax\"}").unwrap();
    assert!(refused(), "a file of another family than its folder");
    std::fs::write(other.join("case.json"), topk::SOUND).unwrap();
    let (line, agree) = compare_in(root, &softmax::FAMILY);
    assert!(line.starts_with("golden softmax: no vectors in ") && agree == 0, "{line}");
    assert_eq!(compare_in(root, &topk::FAMILY), ("golden topk: 1 vectors".into(), 1));
}
