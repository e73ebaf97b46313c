//! Numbers of the authors' own code: soft permutations and their gradients, the schedule, the rounding, and gates under
//! permutations.
//!
//! One JSON file per case in `golden/<family>/`; `MOE_GOLDEN_DIR` names another folder with such families. Each family
//! is one file here, which says what its cases hold and how one is checked. How cases are read and gates compared is
//! shared with the routers.
#![allow(clippy::print_stdout, reason = "cases that are left out are counted")]

#[path = "../../../moe-routers/tests/common/mod.rs"]
mod common;
#[path = "../../../moe-routers/tests/golden/gate.rs"]
#[allow(dead_code)]
mod gate;
#[path = "../../../moe-routers/tests/golden/schema.rs"]
#[allow(dead_code)] // the routers use the rest
mod schema;

mod hungarian;
mod permuted;
mod schedule;
mod sinkhorn;

use std::path::{Path, PathBuf};
use std::{env, fs};

use common::DOUBLE;
use schema::Case;
use serde_json::Value as Json;

/// What became of a case.
#[derive(Debug, PartialEq)]
enum Outcome {
    Agrees,
    /// Its reference says that it makes no sense in this precision.
    Skipped,
}

/// The cases of one folder: the keys that they may have, and how one is checked, which may read outputs that are no
/// tensors from the file.
struct Family {
    folder: &'static str,
    /// Precisions that the reference may have run in.
    dtypes: &'static [&'static str],
    config: &'static [&'static str],
    inputs: &'static [&'static str],
    outputs: &'static [&'static str],
    grads: &'static [&'static str],
    check: fn(&Case<'_>, &Json) -> Result<(), String>,
}

/// Reads a case and checks it.
fn check(family: &Family, file: &Json) -> Result<Outcome, String> {
    let case = Case::read(family, file)?;
    if !DOUBLE && case.needs_double() {
        return Ok(Outcome::Skipped);
    }
    (family.check)(&case, file).map(|()| Outcome::Agrees)
}

/// Checks every case of a family; at least one must be there and agree.
fn compare(family: &Family) {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let root = env::var_os("MOE_GOLDEN_DIR").map_or_else(here, PathBuf::from);
    let folder = root.join(family.folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let (mut agree, mut skipped) = (0, 0);
    for entry in entries {
        let path = entry.unwrap().path();
        let file = path.display();
        assert_eq!(path.extension().and_then(|e| e.to_str()), Some("json"), "{file}");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let case = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        match check(family, &case).unwrap_or_else(|error| panic!("{file}: {error}")) {
            Outcome::Agrees => agree += 1,
            Outcome::Skipped => skipped += 1,
        }
    }
    let mut line = format!("golden {}: {agree} vectors", family.folder);
    if skipped > 0 {
        line += &format!(", {skipped} more need double precision");
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
        *value = match value.as_u64() {
            Some(whole) => (whole + 1).into(),
            None => (value.as_f64().unwrap() * 1.001 + 1e-4).into(),
        };
        assert!(check(family, &case).is_err(), "{pointer}");
    }
}

#[test]
fn an_unknown_form_is_refused() {
    let sound: Json = serde_json::from_str(schedule::SOUND).unwrap();
    let refused = |change: &dyn Fn(&mut Json)| {
        let mut case = sound.clone();
        change(&mut case);
        check(&schedule::FAMILY, &case).unwrap_err()
    };
    assert_eq!(refused(&|case| case["config"]["hot"] = 3.into()), "unknown setting \"hot\"");
    assert_eq!(refused(&|case| case["inputs"]["u"] = 3.into()), "unknown input \"u\"");
    assert_eq!(refused(&|case| case["outputs"]["aux"] = 3.into()), "unknown output \"aux\"");
    assert_eq!(refused(&|case| case["grads"]["u"] = 3.into()), "unknown gradient \"u\"");
    assert_eq!(refused(&|case| case["more"] = 3.into()), "unknown key \"more\"");
    assert_eq!(refused(&|case| case["dtype"] = "float32".into()), "not in float64");
    assert_eq!(refused(&|case| case["config"]["T"] = Json::Null), "no count \"T\"");
    assert!(check(&sinkhorn::FAMILY, &sound).is_err());
}
