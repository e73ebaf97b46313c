//! What the service answers is what `Predictor` gives.

mod common;

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use common::runs::{self, Run, bits, body, column, description, numbers, raw_rows, task};
use common::{Answer, Service};
use moe_core::batch::{InputSpec, Inputs, TaskKind};
use moe_core::{Real, Tensor};
use moe_data::{FeatureSchema, LoadOptions};
use moe_routers::Value;
use serde_json::json;

/// The values of the restaurants' three marks, row by row.
fn marks(answer: &Answer) -> Vec<Real> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    numbers(&answer.body, "value")
}

fn by_row(expected: &[Vec<Real>]) -> Vec<Real> {
    (0..expected[0].len()).flat_map(|row| expected.iter().map(move |task| task[row])).collect()
}

#[test]
fn answers_have_the_bits_of_the_predictor() {
    for router in ["comet", "top-k+"] {
        let (run, data) = runs::restaurant(router);
        let service = Service::start(&run.path, &[]);
        for count in [1, 7, 100] {
            let rows = raw_rows(&data, 0..count);
            let answer = service.predict(&body(&rows));
            let expected = by_row(&run.expected(data.schema().unwrap(), &rows));
            assert_eq!(bits(marks(&answer)), bits(expected), "{router}, {count} rows");
            let first = answer.json()["rows"][0].as_object().unwrap().clone();
            assert_eq!(first.len(), 3);
            assert!(first["food_rating"]["value"].is_number(), "{}", answer.body);
        }
        let other = by_row(&run.expected(data.schema().unwrap(), &raw_rows(&data, 1..2)));
        let first = service.predict(&body(&raw_rows(&data, 0..1)));
        assert_ne!(bits(marks(&first)), bits(other), "all rows are alike");
    }
}

#[test]
fn concurrent_requests_of_mixed_sizes_get_their_own_answers() {
    const CLIENTS: usize = 12;
    const EACH: usize = 8;
    let (run, data) = runs::restaurant("comet");
    let service = Service::start(&run.path, &["--max-wait-us", "3000", "--max-batch", "64"]);
    let rows = |client: usize, i: usize| {
        let first = client * 31 + i * 17;
        raw_rows(&data, first..first + 1 + (client * 7 + i * 13) % 40)
    };
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (service, run, data) = (&service, &run, &data);
            scope.spawn(move || {
                for i in 0..EACH {
                    let rows = rows(client, i);
                    let expected = by_row(&run.expected(data.schema().unwrap(), &rows));
                    let answer = service.predict(&body(&rows));
                    assert_eq!(bits(marks(&answer)), bits(expected), "client {client}, {i}");
                }
            });
        }
    });
    let all = (0..CLIENTS).flat_map(|client| (0..EACH).map(move |i| rows(client, i).len()));
    assert_eq!(service.metric("moe_batch_rows_sum"), all.sum::<usize>() as f64);
    let batches = service.metric("moe_batch_rows_count");
    assert!(batches < (CLIENTS * EACH) as f64, "{batches} batches: none has several requests");
    // The room in the queue is given back after the answer.
    let is_empty = || {
        thread::sleep(Duration::from_millis(20));
        service.metric("moe_queue_rows") == 0.0
    };
    assert!((0..250).any(|_| is_empty()), "the queue stays full");
}

/// A client that sends nothing more still reads, and one that has gone does not stay.
#[test]
fn a_client_that_has_shut_down_its_sending_side_gets_its_answer() {
    let (run, data) = runs::restaurant("top-k");
    let service = Service::start(&run.path, &["--max-wait-us", "100000"]);
    let rows = body(&raw_rows(&data, 0..2));
    let expected = service.predict(&rows);
    for _ in 0..3 {
        let mut stream = service.connect();
        let head = common::head("POST", "/predict", "application/json", rows.len());
        stream.write_all((head + &rows).as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answer = common::answer(stream);
        assert_eq!((answer.status, answer.body), (200, expected.body.clone()));
    }
    let idle: Vec<_> = (0..20).map(|_| service.connect()).collect();
    let mut asked = service.connect();
    asked.write_all(b"GET /health HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    common::wait(|| service.metric("moe_connections") == 22.0);
    drop((idle, asked));
    common::wait(|| service.metric("moe_connections") == 1.0);
}

#[test]
fn where_rows_depend_on_their_batch_a_request_is_one() {
    let data = moe_data::load("restaurant", &LoadOptions::default()).unwrap();
    let limit = ("inference-capacity-factor".to_owned(), Value::Real(0.5));
    let description = description("top-k", data.input.clone(), &data.tasks)
        .with_router_parameters([limit].into());
    let features = serde_json::to_string(data.schema().unwrap()).unwrap();
    let run = Run::untrained(&description, Some(&features));
    let schema = data.schema().unwrap();
    let alone = |rows: &[Vec<String>]| bits(by_row(&run.expected(schema, rows)));
    let (first, second) = (raw_rows(&data, 0..9), raw_rows(&data, 9..20));
    let together = alone(&[first.clone(), second.clone()].concat());
    assert_ne!(together, [alone(&first), alone(&second)].concat(), "they do not depend on it");

    let service = Service::start(&run.path, &["--max-wait-us", "3000"]);
    thread::scope(|scope| {
        for i in 0..16 {
            let (service, rows) = (&service, if i % 2 == 0 { &first } else { &second });
            scope.spawn(move || {
                let answer = service.predict(&body(rows));
                assert_eq!(bits(marks(&answer)), alone(rows));
            });
        }
    });
    assert_eq!(service.metric("moe_batch_rows_count"), 16.0);
}

#[test]
fn every_kind_of_column_and_task() {
    let text = json!({
        "ids": [{"name": "user", "unknown": "shared", "vocabulary": ["ann", "7"]}],
        "numbers": [{"name": "age", "shift": 30.0, "scale": 0.1}],
        "categories": [{"name": "city", "vocabulary": ["Rome", "Bath"]}],
        "classes": {"kind": ["low", "middle", "high"]},
    })
    .to_string();
    let schema: FeatureSchema = serde_json::from_str(&text).unwrap();
    let tasks = [
        task("seen", TaskKind::binary()),
        task("kind", TaskKind::multiclass(3)),
        task("digit", TaskKind::multiclass(2)),
        task("stars", TaskKind::regression()),
    ];
    let run = Run::untrained(&description("top-k", schema.input(), &tasks), Some(&text));
    let service = Service::start(&run.path, &[]);
    let answer = service.predict(
        r#"{"rows": [{"user": "ann", "age": 41, "city": "Bath"},
                     {"city": "Paris", "user": 7, "age": null},
                     {"age": "29.5", "user": "new", "city": "Rome"}]}"#,
    );
    assert_eq!(answer.status, 200, "{}", answer.body);
    let rows = [["ann", "41", "Bath"], ["7", "", "Paris"], ["new", "29.5", "Rome"]];
    let expected = run.expected(&schema, &rows.map(|row| row.map(str::to_owned).to_vec()));
    let [seen, kind, digit, stars] = expected.try_into().unwrap();
    let values = |key| bits(numbers(&answer.body, key));
    assert_eq!(values("probability"), bits(seen.clone()));
    assert_eq!(values("value"), bits(stars));
    let classes: Vec<Real> =
        (0..3).flat_map(|row| [&kind[row * 3..][..3], &digit[row * 2..][..2]].concat()).collect();
    assert_eq!(values("probabilities"), bits(classes));

    let largest = |values: &[Real]| {
        (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap()
    };
    for (row, found) in answer.json()["rows"].as_array().unwrap().iter().enumerate() {
        let name = ["low", "middle", "high"][largest(&kind[row * 3..][..3])];
        assert_eq!(found["kind"]["class"], name);
        assert_eq!(found["digit"]["class"], largest(&digit[row * 2..][..2]));
        let order: Vec<&String> = found.as_object().unwrap().keys().collect();
        assert_eq!(order.len(), 4);
    }

    let about = service.get("/model");
    assert_eq!(about.status, 200);
    let about = about.json();
    assert_eq!((&about["router"], &about["epoch"]), (&json!("top-k"), &json!(0)));
    assert_eq!(
        about["columns"],
        json!([
            {"kind": "id", "name": "user", "names": 2, "unknown": "shared"},
            {"kind": "number", "name": "age"},
            {"kind": "category", "name": "city", "categories": ["Rome", "Bath"]},
        ])
    );
    assert_eq!(
        about["tasks"],
        json!([
            {"name": "seen", "kind": "binary"},
            {"name": "kind", "kind": "multiclass", "classes": ["low", "middle", "high"]},
            {"name": "digit", "kind": "multiclass", "classes": [0, 1]},
            {"name": "stars", "kind": "regression"},
        ])
    );
}

#[test]
fn without_a_schema_rows_are_ids_and_numbers() {
    let tasks = [task("seen", TaskKind::binary())];
    let columns = vec![column("user", 10), column("film", 4)];
    let input = InputSpec::ids(columns).with_dense([2]);
    let run = Run::untrained(&description("hash", input, &tasks), None);
    let service = Service::start(&run.path, &[]);
    let answer = service.predict(
        r#"{"rows": [{"user": 9, "film": 0, "x": [0.25, -3]}, {"user": 2, "film": 3, "x": [1e-3, 7]}]}"#,
    );
    let dense = Tensor::new([2, 2], vec![0.25, -3.0, 1e-3, 7.0]);
    let inputs = Inputs::ids(vec![vec![9, 2], vec![0, 3]]).with_dense(dense);
    let expected = run.expected_of(&inputs, 2);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(bits(numbers(&answer.body, "probability")), bits(expected[0].clone()));
    for (rows, said) in [
        (
            json!([{"user": 9, "film": 4, "x": [0, 0]}]),
            "row 0, film: 4 is not allowed; it must be a whole number below 4",
        ),
        (json!([{"user": "9", "film": 1, "x": [0, 0]}]), "row 0, user: \"9\" is not allowed"),
        (json!([{"user": 9.5, "film": 1, "x": [0, 0]}]), "row 0, user: 9.5 is not allowed"),
        (
            json!([{"user": 9, "film": 1, "x": [0]}]),
            "row 0, x: 1 numbers; allowed: a list of 2 numbers",
        ),
        (
            json!([{"user": 9, "film": 1, "x": [0, 1e300]}]),
            "row 0, x: 1e+300 is not a number in range",
        ),
        (json!([{"user": 9, "film": 1, "x": 7}]), "row 0, x: 7 is not a list"),
    ] {
        if said.contains("1e+300") && size_of::<Real>() == 8 {
            continue;
        }
        let answer = service.predict(&json!({ "rows": rows }).to_string());
        assert_eq!(answer.status, 422, "{said}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(said), "{error}");
    }

    let input = InputSpec::dense(3);
    let run = Run::untrained(&description("softmax", input, &tasks), None);
    let service = Service::start(&run.path, &[]);
    let answer = service.predict(r#"{"rows": [{"x": [1, 2, 3]}]}"#);
    let expected = run.expected_of(&Inputs::dense(Tensor::new([1, 3], vec![1.0, 2.0, 3.0])), 1);
    assert_eq!(bits(numbers(&answer.body, "probability")), bits(expected[0].clone()));
    assert_eq!(
        service.get("/model").json()["columns"],
        json!([{"kind": "numbers", "name": "x", "width": 3}])
    );
}
