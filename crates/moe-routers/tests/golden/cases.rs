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
    /// It needs this, which the suite does not have.
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

/// The case in a file.
fn read(path: &Path) -> Json {
    let file = path.display();
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The files of a folder, in the order of their names; none if there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Whether a folder holds recorded cases: files `<family>/<case>.json`, the first of which names its family.
fn is_golden(root: &Path) -> bool {
    files(root).iter().any(|folder| {
        let case = files(folder).into_iter().find(|file| file.extension() == Some("json".as_ref()));
        case.is_some_and(|case| folder.ends_with(read(&case)["family"].as_str().unwrap_or("?")))
    })
}

/// Checks every case of a family. In the source tree, at least one must be there and agree; the folder of the environment
/// may hold other families, or none that this suite can check.
pub(crate) fn compare(family: &Family) {
    let (line, agree) = match env::var_os("MOE_GOLDEN_DIR") {
        Some(root) => compare_in(Path::new(&root), family),
        None => {
            // The cases of routers stand once, beside the suite of the routers.
            let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
            let routers = own.join("../../../moe-routers/tests/golden");
            let root = [&own, &routers].into_iter().find(|root| root.join(family.folder).is_dir());
            compare_in(root.unwrap_or_else(|| panic!("no folder {}", family.folder)), family)
        }
    };
    println!("{line}");
    assert!(agree > 0 || env::var_os("MOE_GOLDEN_DIR").is_some(), "{line}");
}

/// Checks every case of a family in `root`; says how many there were, and returns how many agree.
pub(crate) fn compare_in(root: &Path, family: &Family) -> (String, usize) {
    let named = root.display();
    assert!(
        is_golden(root),
        "{named}: no folder of recorded cases, which are <family>/<case>.json"
    );
    let mut agree = 0;
    let mut left_out = BTreeMap::<&str, usize>::new();
    let files = files(&root.join(family.folder));
    for path in &files {
        let file = path.display();
        assert_eq!(path.extension().and_then(|e| e.to_str()), Some("json"), "{file}");
        match check(family, &read(path)).unwrap_or_else(|error| panic!("{file}: {error}")) {
            Outcome::Agrees => agree += 1,
            Outcome::Later(what) => *left_out.entry(what).or_default() += 1,
            Outcome::Skipped => *left_out.entry("double precision").or_default() += 1,
        }
    }
    let mut line = match files.len() {
        0 => format!("golden {}: no vectors in {named}", family.folder),
        _ => format!("golden {}: {agree} vectors", family.folder),
    };
    for (what, count) in left_out {
        line += &format!(", {count} more need {what}");
    }
    (line, agree)
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
