//! Numbers of the authors' own code: soft permutations and their gradients, the schedule, the rounding, and gates under
//! permutations.
//!
//! There is one JSON file per case in `golden/<family>/`; `MOE_GOLDEN_DIR` names another folder with such families. Each
//! family is one file here, which lists the keys of its cases and checks one. Reading cases and comparing gates is shared
//! with the routers, and so are the cases of the routers, which are checked here with their permutations.
#![allow(clippy::print_stdout, reason = "cases that are left out are counted")]

#[path = "../../../moe-routers/tests/golden/cases.rs"]
mod cases;
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

use cases::{Family, Outcome, assert_changes_are_noticed, check, compare};
use serde_json::Value as Json;

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
