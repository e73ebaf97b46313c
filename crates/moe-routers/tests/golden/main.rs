//! Numbers of the authors' own code, and of well-known public code for the baselines: experts, weights, losses and
//! gradients.
//!
//! One JSON file per case in `golden/<family>/`; `MOE_GOLDEN_DIR` names another folder with such families. Each family
//! is one file here, which says what its cases hold and how one is checked. A case that needs what the router cannot
//! do yet is counted but left out. The gradient of a permutation is not compared.
#![allow(clippy::print_stdout, reason = "cases that are left out are counted")]

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

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use common::DOUBLE;
use schema::Case;
use serde_json::Value as Json;

/// What became of a case.
#[derive(Debug, PartialEq)]
enum Outcome {
    Agrees,
    /// It needs this, which is not there yet.
    Later(&'static str),
    /// Its reference says that it makes no sense in this precision.
    Skipped,
}

/// The cases of one folder: the keys that they may have, and how one is checked.
struct Family {
    folder: &'static str,
    /// Precisions that the reference may have run in.
    dtypes: &'static [&'static str],
    config: &'static [&'static str],
    inputs: &'static [&'static str],
    outputs: &'static [&'static str],
    grads: &'static [&'static str],
    check: fn(&Case<'_>) -> Result<Outcome, String>,
}

/// Reads a case and checks it.
fn check(family: &Family, case: &Json) -> Result<Outcome, String> {
    let case = Case::read(family, case)?;
    if !DOUBLE && case.needs_double() {
        return Ok(Outcome::Skipped);
    }
    (family.check)(&case)
}

/// The cases of a folder by file name.
fn cases(folder: &Path) -> BTreeMap<String, Json> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut cases = BTreeMap::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let file = path.display();
        assert_eq!(path.extension().and_then(|e| e.to_str()), Some("json"), "{file}");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let case = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        cases.insert(file.to_string(), case);
    }
    cases
}

/// Checks every case of a family; at least one must be there and agree.
fn compare(family: &Family) {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let root = env::var_os("MOE_GOLDEN_DIR").map_or_else(here, PathBuf::from);
    let mut agree = 0;
    let mut left_out = BTreeMap::<&str, usize>::new();
    for (file, case) in cases(&root.join(family.folder)) {
        match check(family, &case).unwrap_or_else(|error| panic!("{file}: {error}")) {
            Outcome::Agrees => agree += 1,
            Outcome::Later(what) => *left_out.entry(what).or_default() += 1,
            Outcome::Skipped => *left_out.entry("double precision").or_default() += 1,
        }
    }
    let mut line = format!("golden {}: {agree} vectors", family.folder);
    for (what, count) in left_out {
        line += &format!(", {count} more need {what}");
    }
    println!("{line}");
    assert!(agree > 0, "{line}");
}

/// The case `text` agrees, and no longer does once the number at any of `pointers` is changed.
fn assert_changes_are_noticed(family: &Family, text: &str, pointers: &[&str]) {
    let sound: Json = serde_json::from_str(text).unwrap();
    assert_eq!(check(family, &sound), Ok(Outcome::Agrees));
    for pointer in pointers {
        let mut case = sound.clone();
        let value = case.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        *value = (value.as_f64().unwrap() + 1e-4).into();
        assert!(check(family, &case).is_err(), "{pointer}");
    }
}

/// What is said against the case `text` with another value at `pointer`.
fn refusal(family: &Family, text: &str, pointer: &str, value: impl Into<Json>) -> String {
    let mut case: Json = serde_json::from_str(text).unwrap();
    *case.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value.into();
    check(family, &case).expect_err(pointer)
}

/// A case that agrees, from the tree whatever the environment says.
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
