//! Reads recorded cases, one JSON file each, and checks them: shared by the golden tests of routers and of searches.
#![allow(dead_code)] // each suite uses its part

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value as Json;

use crate::common::DOUBLE;
use crate::schema::Case;

/// The outcome of a case that did not fail.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Agrees,
    /// It needs this, which the router cannot do alone.
    Later(&'static str),
    /// Its reference declares it meaningless in this precision.
    Skipped,
}

/// The cases of one folder: the keys that they may have, and how one is checked.
pub(crate) struct Family {
    pub(crate) folder: &'static str,
    /// Precisions that the reference may have run in.
    pub(crate) dtypes: &'static [&'static str],
    pub(crate) config: &'static [&'static str],
    pub(crate) inputs: &'static [&'static str],
    pub(crate) outputs: &'static [&'static str],
    pub(crate) grads: &'static [&'static str],
    pub(crate) check: fn(&Case<'_>) -> Result<Outcome, String>,
}

/// Reads a case and checks it.
pub(crate) fn check(family: &Family, case: &Json) -> Result<Outcome, String> {
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
pub(crate) fn compare(family: &Family) {
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
pub(crate) fn assert_changes_are_noticed(family: &Family, text: &str, pointers: &[&str]) {
    let sound: Json = serde_json::from_str(text).unwrap();
    assert_eq!(check(family, &sound), Ok(Outcome::Agrees));
    for pointer in pointers {
        let mut case = sound.clone();
        let value = case.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        *value = match (value.as_u64(), value.as_f64()) {
            (Some(whole), _) => (whole + 1).into(),
            (None, number) => (number.unwrap() + 1e-3 * number.unwrap().abs() + 1e-4).into(),
        };
        assert!(check(family, &case).is_err(), "{pointer}");
    }
}

/// What is said against the case `text` with another value at `pointer`.
pub(crate) fn refusal(
    family: &Family,
    text: &str,
    pointer: &str,
    value: impl Into<Json>,
) -> String {
    let mut case: Json = serde_json::from_str(text).unwrap();
    *case.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value.into();
    check(family, &case).expect_err(pointer)
}
