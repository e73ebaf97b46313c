//! Every router of the registry passes the conformance kit with its defaults, with each switch and choice set otherwise,
//! and with its coefficients on. A requirement that a router violates by design is declared in its `properties`.

mod common;

use std::collections::BTreeMap;

use common::DOUBLE;
use moe_routers::conformance::{CHECKS, Options, Report, check_gates};
use moe_routers::{Range, Registry, RouterEntry, Value};

type Given = BTreeMap<String, Value>;

/// The defaults; each switch and choice set otherwise; every number that is 0 by default, a coefficient, set to 0.5.
fn variants(entry: &RouterEntry) -> Vec<Given> {
    let mut variants = vec![Given::new()];
    let mut coefficients = Given::new();
    for spec in &entry.info().parameters {
        let others = match &spec.range {
            Range::Bool => vec![Value::Bool(spec.default != Value::Bool(true))],
            Range::OneOf(words) => words.iter().map(|word| Value::Text((*word).into())).collect(),
            Range::Real(range) if spec.default == Value::Real(0.0) && range.contains(&0.5) => {
                coefficients.insert(spec.name.into(), Value::Real(0.5));
                vec![]
            }
            _ => vec![],
        };
        let others = others.into_iter().filter(|value| *value != spec.default);
        variants.extend(others.map(|value| Given::from([(spec.name.to_string(), value)])));
    }
    if !coefficients.is_empty() {
        variants.push(coefficients);
    }
    variants
}

fn report(entry: &RouterEntry, given: &Given) -> Report {
    let build = |spec: &_| entry.build(spec, 2, given).map_err(|error| error.to_string());
    check_gates(&build, &Options::default())
}

#[test]
fn every_router_of_the_registry_conforms() {
    for entry in Registry::standard().entries() {
        for given in variants(entry) {
            let report = report(entry, &given);
            assert!(report.is_ok(), "{} with {given:?}:\n{report}", entry.info().id);
            assert_eq!(report.verdicts.len(), CHECKS.len());
        }
    }
}

#[test]
fn coefficients_are_switched_on() {
    let registry = Registry::standard();
    let entry = registry.get("top-k").unwrap();
    let variants = variants(entry);
    assert!(variants.iter().any(|given| given.contains_key("load-balance")), "{variants:?}");
    let report = report(entry, variants.last().unwrap());
    assert_eq!(report.passed().contains(&"loss_gradients"), DOUBLE, "{report}");
    assert!(report.passed().contains(&"gradients_reach"));
}
