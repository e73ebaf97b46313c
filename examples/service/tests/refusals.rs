//! Wrong, large and slow requests, and too many of them: each has its status, and none harms another.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use common::runs::{self, body, raw_rows};
use common::{LONG, Service, answer, head};

const JSON: &str = "application/json";

#[test]
fn every_wrong_request_has_its_status_and_says_why() {
    let (run, _) = runs::restaurant("top-k");
    let args = ["--max-body-bytes", "500", "--max-rows-per-request", "3", "--queue", "3"];
    let service = Service::start(&run.path, &args);
    let row = r#"{"user": "U1077", "place": "135085"}"#;
    let good = format!(r#"{{"rows": [{row}]}}"#);
    let many = format!(r#"{{"rows": [{row},{row},{row},{row}]}}"#);
    let listed = format!("[[{row}]]");
    let long = format!(r#"{{"rows": [{row}]}}{}"#, " ".repeat(500));
    let cases: &[(&str, &str, &str, &str, u16, &str)] = &[
        ("POST", "/predict", JSON, &good, 200, "rows"),
        ("POST", "/predict", "application/json; charset=utf-8", &good, 200, "rows"),
        ("POST", "/predict", "text/plain", &good, 415, "application/json"),
        ("POST", "/predict", "", &good, 415, "application/json"),
        ("POST", "/predict", JSON, "", 400, "not JSON"),
        ("POST", "/predict", JSON, r#"{"rows": ["#, 400, "not JSON"),
        ("POST", "/predict", JSON, "\u{1}", 400, "line 1 column 1"),
        ("POST", "/predict", JSON, "[]", 422, r#"{"rows": [{column: value"#),
        ("POST", "/predict", JSON, r#"{"row": []}"#, 422, "unknown field `row`"),
        ("POST", "/predict", JSON, r#"{"rows": [7]}"#, 422, "invalid type"),
        ("POST", "/predict", JSON, r#"{"rows": []}"#, 422, "at least 1"),
        (
            "POST",
            "/predict",
            JSON,
            &listed,
            422,
            "sequence, expected an object with the field `rows`",
        ),
        ("POST", "/predict", JSON, r#"{"rows": {}}"#, 422, "map, expected a list of rows"),
        (
            "POST",
            "/predict",
            JSON,
            r#"{"rows": [[1]]}"#,
            422,
            "sequence, expected an object with a field for each column as row 0",
        ),
        ("POST", "/predict", JSON, r#"{"rows": [], "rows": []}"#, 422, "the field `rows` twice"),
        ("POST", "/predict", JSON, "{}", 422, "missing field `rows`"),
        (
            "POST",
            "/predict",
            JSON,
            r#"{"rows": [{"user": "U1077", "place": 1, "user": "U1077"}]}"#,
            422,
            r#"row 0: the field "user" twice"#,
        ),
        (
            "POST",
            "/predict",
            JSON,
            r#"{"rows": [{"user": "U1077"}]}"#,
            422,
            r#"row 0: the column "place" is missing; needed: user, place"#,
        ),
        (
            "POST",
            "/predict",
            JSON,
            r#"{"rows": [{"user": "U1077", "place": "135085", "film": 3}]}"#,
            422,
            r#"row 0: the column "film" is unknown; allowed: user, place"#,
        ),
        (
            "POST",
            "/predict",
            JSON,
            r#"{"rows": [{"user": "U1077", "place": 135085}, {"user": "nobody", "place": 135085}]}"#,
            422,
            "nobody",
        ),
        (
            "POST",
            "/predict",
            JSON,
            r#"{"rows": [{"user": ["U1077"], "place": 135085}]}"#,
            422,
            "row 0, user: a list is not allowed; it must be a text, a number or null",
        ),
        ("POST", "/predict", JSON, &many, 413, "4 rows; at most 3"),
        ("POST", "/predict", JSON, &long, 413, "at most 500 bytes"),
        ("GET", "/predict", "", "", 405, "GET is not allowed for /predict"),
        ("POST", "/health", JSON, "{}", 405, "POST is not allowed"),
        ("GET", "/", "", "", 404, "/predict, /health, /metrics, /model"),
        ("GET", "/health", "", "", 200, "ok"),
    ];
    for &(method, path, content_type, body, status, said) in cases {
        let answer = service.request(method, path, content_type, body.as_bytes());
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
        let json = answer.json();
        if status != 200 {
            let error = json["error"].as_str().unwrap();
            assert!(error.contains(said), "{method} {path} {body}: {error}");
            assert!(!error.contains("struct"), "{error}");
            assert_eq!(json.as_object().unwrap().len(), 1);
        }
        assert!(answer.body.contains("error") == (status != 200), "{}", answer.body);
    }
    let unknown = service.predict(r#"{"rows": [{"user": "nobody", "place": "135085"}]}"#);
    for word in ["row 0", "user", "nobody", "a name that was in the training data"] {
        assert!(unknown.body.contains(word), "no {word:?} in {}", unknown.body);
    }
    let counted = |labels: &str| service.metric(&format!("moe_requests_total{{{labels}}}"));
    let of_status =
        |status| cases.iter().filter(move |case| case.1 == "/predict" && case.4 == status);
    for status in [200, 400, 405, 413, 415] {
        let labels = format!("path=\"/predict\",status=\"{status}\"");
        assert_eq!(counted(&labels), of_status(status).count() as f64, "{status}");
    }
    assert_eq!(counted("path=\"other\",status=\"404\""), 1.0);
    assert!(service.metric("moe_resident_memory_bytes") > 1e6 || !cfg!(target_os = "linux"));
}

#[test]
fn a_body_far_too_long_is_refused_in_words() {
    let (run, data) = runs::restaurant("top-k");
    let service = Service::start(&run.path, &["--max-body-bytes", "10000"]);
    let long = vec![b' '; 4 << 20];
    let refused = service.request("POST", "/predict", JSON, &long);
    assert_eq!(refused.status, 413);
    assert!(refused.body.contains("at most 10000 bytes"), "{}", refused.body);

    let mut stream = service.connect();
    let chunked = "POST /predict HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
                   transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    stream.write_all(chunked.as_bytes()).unwrap();
    for _ in 0..8 {
        stream.write_all(b"2000\r\n").unwrap();
        stream.write_all(&long[..0x2000]).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(answer(stream).status, 413);
    assert_eq!(service.predict(&body(&raw_rows(&data, 0..3))).status, 200);
}

#[test]
fn slow_clients_are_told_or_cut_off_and_others_are_served() {
    let (run, data) = runs::restaurant("top-k");
    let args = ["--request-timeout-ms", "1500", "--connection-timeout-ms", "1500"];
    let service = Service::start(&run.path, &args);
    let good = body(&raw_rows(&data, 0..2));
    let stopped = |text: &str| {
        let mut stream = service.connect();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let whole = head("POST", "/predict", JSON, good.len());
    let half_body: Vec<TcpStream> =
        (0..20).map(|_| stopped(&format!("{whole}{}", &good[..good.len() / 2]))).collect();
    let half_head: Vec<TcpStream> = (0..20).map(|_| stopped(&whole[..whole.len() - 10])).collect();
    let silent: Vec<TcpStream> = (0..20).map(|_| stopped("")).collect();
    for _ in 0..10 {
        assert_eq!(service.predict(&good).status, 200);
    }
    for stream in half_body {
        let answer = answer(stream);
        assert_eq!(answer.status, 408);
        assert!(answer.body.contains("did not arrive within 1500 ms"), "{}", answer.body);
    }
    for mut stream in half_head.into_iter().chain(silent) {
        let mut text = String::new();
        // A client that is cut off may see that as an error.
        let _ = stream.read_to_string(&mut text);
        assert!(!text.contains("200"), "{text}");
    }
    common::wait(|| service.metric("moe_connections") == 1.0);
    assert_eq!(service.predict(&good).status, 200);
}

#[test]
fn a_client_that_takes_no_answers_is_cut_off() {
    let (run, data) = runs::restaurant("top-k");
    let service = Service::start(&run.path, &["--connection-timeout-ms", "500"]);
    let mut deaf = service.connect();
    // Until its answers fill what the system keeps for it, and it is not read from any more.
    let requests = b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n".repeat(1000);
    while deaf.write_all(&requests).is_ok() {}
    common::wait(|| service.metric("moe_connections") == 1.0);
    assert_eq!(service.predict(&body(&raw_rows(&data, 0..1))).status, 200);
}

#[test]
fn a_full_queue_refuses_at_once_and_what_it_holds_is_answered() {
    let (run, data) = runs::restaurant("top-k");
    let long = LONG.as_micros().to_string();
    let args = ["--queue", "4", "--max-rows-per-request", "4", "--max-batch", "4"];
    let service = Service::start(&run.path, &[&args[..], &["--max-wait-us", &long]].concat());
    let ask = |rows| service.predict(&body(&raw_rows(&data, 0..rows)));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| ask(3));
        service.wait_for_rows(3.0);
        let refused = ask(2);
        assert_eq!(refused.status, 503);
        assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
        assert!(refused.body.contains("too many rows"), "{}", refused.body);
        assert_eq!(ask(1).status, 200);
        assert_eq!(waiting.join().unwrap().status, 200);
    });
    assert_eq!(service.metric("moe_batch_rows_count"), 1.0);
    service.wait_for_rows(0.0);
}

#[test]
fn a_bad_request_between_two_that_share_a_batch_harms_neither() {
    let (run, data) = runs::restaurant("top-k");
    let long = LONG.as_micros().to_string();
    let service = Service::start(&run.path, &["--max-batch", "2", "--max-wait-us", &long]);
    let good = body(&raw_rows(&data, 0..1));
    thread::scope(|scope| {
        let first = scope.spawn(|| service.predict(&good));
        service.wait_for_rows(1.0);
        assert_eq!(service.predict(r#"{"rows": [{"user": "nobody", "place": 1}]}"#).status, 422);
        assert_eq!(service.predict("no").status, 400);
        let second = service.predict(&good);
        let first = first.join().unwrap();
        assert_eq!((first.status, second.status), (200, 200));
        assert_eq!(first.body, second.body);
    });
    assert_eq!(service.metric("moe_batch_rows_count"), 1.0);
}

#[test]
fn a_prediction_that_takes_too_long_is_given_up() {
    let (run, data) = runs::restaurant("top-k");
    let long = LONG.as_micros().to_string();
    let args = ["--max-wait-us", &long, "--request-timeout-ms", "200"];
    let service = Service::start(&run.path, &args);
    let answer = service.predict(&body(&raw_rows(&data, 0..1)));
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("took too long"), "{}", answer.body);
}
