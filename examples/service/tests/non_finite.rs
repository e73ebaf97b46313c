//! Predictions that are not finite are counted, and refused or `null`.

mod common;

use common::Service;
use common::runs::{Run, column, description, task};
use moe_core::batch::{InputSpec, TaskKind};
use serde_json::{Value, json};

/// A model in which film 2 has no finite embedding.
fn run() -> Run {
    let tasks = [
        task("seen", TaskKind::binary()),
        task("kind", TaskKind::multiclass(3)),
        task("stars", TaskKind::regression()),
    ];
    let input = InputSpec::ids(vec![column("user", 5), column("film", 4)]);
    Run::with_nan(&description("top-k", input, &tasks), None, "encoder.film.weight", 12..18)
}

fn ask(service: &Service, films: &[u32]) -> common::Answer {
    let rows = films.iter().map(|film| json!({"user": 1, "film": film}));
    service.predict(&json!({ "rows": rows.collect::<Vec<_>>() }).to_string())
}

#[test]
fn a_request_with_such_a_prediction_is_refused() {
    let run = run();
    let service = Service::start(&run.path, &[]);
    let refused = ask(&service, &[0, 2, 3, 2]);
    assert_eq!(refused.status, 500);
    let error = refused.json()["error"].as_str().unwrap().to_owned();
    let says = "row 1: the prediction of the task seen is not finite, and so it is for 2 of 4 rows";
    assert!(error.starts_with(says), "{error}");
    assert_eq!(ask(&service, &[0, 1, 3]).status, 200);
    assert_eq!(service.metric("moe_non_finite_rows_total"), 2.0);
}

#[test]
fn or_it_is_null() {
    let run = run();
    let service = Service::start(&run.path, &["--non-finite", "null"]);
    let answer = ask(&service, &[2, 0]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let rows = answer.json()["rows"].clone();
    let none = json!({
        "seen": {"probability": null},
        "kind": {"class": null, "probabilities": [null, null, null]},
        "stars": {"value": null},
    });
    assert_eq!(rows[0], none);
    assert!(rows[1]["kind"]["class"].is_number() && rows[1]["stars"]["value"].is_number());
    assert_eq!(rows[1]["kind"]["probabilities"].as_array().map(Vec::len), Some(3));
    assert_ne!(rows[1]["seen"]["probability"], Value::Null);
    assert_eq!(service.metric("moe_non_finite_rows_total"), 1.0);
}
