//! Runs the conformance kit on the router.

use std::collections::BTreeMap;

use custom_router::TopP;
use moe_routers::Value;
use moe_routers::conformance::{Options, check_gates};

#[test]
fn top_p_conforms() {
    let entry = TopP::entry();
    for entropy in [0.0, 0.5] {
        let given = BTreeMap::from([("entropy".to_string(), Value::Real(entropy))]);
        let build = |spec: &_| entry.build(spec, 2, &given).map_err(|error| error.to_string());
        let report = check_gates(&build, &Options::default());
        assert!(report.is_ok(), "{report}");
    }
}
