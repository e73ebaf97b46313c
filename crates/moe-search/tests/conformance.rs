//! Every router with a search passes the conformance kit: while the permutation is learnt, at the temperatures of the
//! schedule and at one that finite differences can follow, and once it is rounded.

use std::collections::BTreeMap;

use moe_core::random::permutation;
use moe_core::{Real, Tensor};
use moe_routers::conformance::{Options, Report, check_gates};
use moe_routers::{GateSet, GateSpec, Registry, RouterEntry, Value};
use moe_search::with_search;

const DOUBLE: bool = size_of::<Real>() == 8;

fn entries() -> Vec<RouterEntry> {
    let registry = with_search(Registry::standard());
    let searched = registry.entries().iter().filter(|entry| entry.info().id.ends_with('+'));
    searched.cloned().collect()
}

/// One of each kind: a sum of parts, of parts that are not renormalised, one vector of weights, no parameters.
const KINDS: [&str; 4] = ["comet+", "dselect-k+", "top-k+", "hash+"];

fn check(entry: &RouterEntry, given: &[(&str, Value)], change: fn(&mut dyn GateSet)) -> Report {
    let given: BTreeMap<_, _> =
        given.iter().map(|(name, v)| (name.to_string(), v.clone())).collect();
    let build = |spec: &GateSpec| -> Result<Box<dyn GateSet>, String> {
        let mut gates = entry.build(spec, 2, &given).map_err(|error| error.to_string())?;
        change(&mut *gates);
        Ok(gates)
    };
    // A permutation that is rounded has no gradient.
    let mut options = Options::default().without_gradient("log_alpha");
    if given.contains_key("search-noise") {
        options = options.without("draws", "the noise is that of the permutation, not of rows");
    }
    check_gates(&build, &options)
}

fn assert_passes(given: &[(&str, Value)], change: fn(&mut dyn GateSet), checks: &[&str]) {
    // The defaults are checked with every router, the rest with one of each kind.
    let is_checked =
        |entry: &RouterEntry| given.is_empty() || KINDS.contains(&&entry.info().id[..]);
    for entry in entries().into_iter().filter(is_checked) {
        let report = check(&entry, given, change);
        let id = &entry.info().id;
        assert!(report.is_ok(), "{id} with {given:?}:\n{report}");
        for check in checks {
            let is_out = id == "hash+" || id == "moesart+";
            assert!(is_out || report.passed().contains(check), "{id} with {given:?}:\n{report}");
        }
    }
}

/// A rounded permutation that is not the identity.
fn shuffle(gates: &mut dyn GateSet) {
    gates.visit_mut(&mut |name, mut state| {
        if name == "permutation.rounded" {
            let rounded = state.tensor_mut();
            let (count, n) = (rounded.rows(), rounded.cols());
            let rows = (0..count).flat_map(|m| permutation(n, 7, "tests", m as u64));
            *rounded = Tensor::new([count, n], rows.map(|label| label as Real).collect());
        }
    });
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

#[test]
fn while_it_is_learnt() {
    assert_passes(
        &[],
        |_| {},
        &["shape", "state_is_whole", "recording_does_not_show", "gradients_reach"],
    );
    for share in ["gate", "part"] {
        assert_passes(&[("search-share", text(share))], |_| {}, &[]);
    }
    assert_passes(&[("search-threshold", Value::Real(0.2))], |_| {}, &[]);
    assert_passes(&[("search-noise", Value::Real(0.5))], |_| {}, &[]);
}

#[test]
fn at_a_temperature_that_differences_can_follow() {
    let warm = |share: &str| {
        [
            ("search-share", text(share)),
            ("search-temperature-floor", Value::Real(1.0)),
            ("search-entropy", Value::Real(0.5)),
        ]
    };
    for share in ["all", "gate", "part"] {
        let checks: &[&str] =
            if DOUBLE { &["weight_gradients", "loss_gradients"] } else { &["cardinality"] };
        assert_passes(&warm(share), |_| {}, checks);
    }
}

#[test]
fn once_it_is_rounded() {
    for share in ["all", "gate", "part"] {
        let given = [("search-steps", Value::Int(1)), ("search-share", text(share))];
        assert_passes(&given, shuffle, &["shape", "state_is_whole", "recording_does_not_show"]);
    }
}

#[test]
fn every_router_has_one() {
    let ids: Vec<_> = entries().iter().map(|entry| entry.info().id.clone()).collect();
    for id in ["comet+", "top-k+", "hash+", "dselect-k+", "moesart+"] {
        assert!(ids.iter().any(|known| known == id), "{id} of {ids:?}");
    }
    assert_eq!(ids.len(), Registry::standard().entries().len());
    // Once more adds nothing.
    let twice = with_search(with_search(Registry::standard()));
    assert_eq!(twice.entries().len(), 2 * ids.len());
}
