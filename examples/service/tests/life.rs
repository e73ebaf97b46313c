//! How the program starts and ends.
#![cfg(unix)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;

use common::runs::{self, body, raw_rows};
use common::{LONG, Service, wait};

#[test]
fn sigterm_finishes_the_requests_in_flight() {
    const CLIENTS: usize = 8;
    let (run, data) = runs::restaurant("comet");
    let service = Service::start(&run.path, &["--max-wait-us", "2500000"]);
    let address = service.address;
    thread::scope(|scope| {
        let ask = |i| body(&raw_rows(&data, i..i + 3));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|i| {
                scope.spawn({
                    let service = &service;
                    move || service.predict(&ask(i))
                })
            })
            .collect();
        service.wait_for_rows(3.0 * CLIENTS as f64);
        service.signal("TERM");
        wait(|| TcpStream::connect(address).is_err());
        for client in clients {
            let answer = client.join().unwrap();
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(answer.json()["rows"].as_array().unwrap().len(), 3);
        }
    });
    let (status, said) = service.wait();
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let (run, _) = runs::restaurant("top-k");
    let service = Service::start(&run.path, &[]);
    let mut idle = service.connect();
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let mut start = [0; 12];
    idle.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    service.signal("INT");
    let (status, said) = service.wait();
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn a_second_signal_or_the_deadline_ends_it() {
    let (run, data) = runs::restaurant("top-k");
    let long = LONG.as_micros().to_string();
    let wait_long = ["--max-wait-us", &long, "--request-timeout-ms", "60000"];
    for (args, said) in [
        (&["--shutdown-timeout-ms", "60000"], "stopped by a second signal"),
        (&["--shutdown-timeout-ms", "300"], "did not finish within 300 ms"),
    ] {
        let service = Service::start(&run.path, &[&wait_long[..], args].concat());
        let mut waiting = service.connect();
        let rows = body(&raw_rows(&data, 0..1));
        let head = common::head("POST", "/predict", "application/json", rows.len());
        waiting.write_all((head + &rows).as_bytes()).unwrap();
        service.wait_for_rows(1.0);
        service.signal("TERM");
        wait(|| TcpStream::connect(service.address).is_err());
        if said.contains("second") {
            service.signal("TERM");
        }
        let (status, text) = service.wait();
        assert_eq!(status.code(), Some(1), "{text}");
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn what_cannot_be_served_is_refused() {
    let (run, _) = runs::restaurant("top-k");
    let start = |run: &std::path::Path, args: &[&str]| {
        let program = env!("CARGO_BIN_EXE_moe-service");
        let output = Command::new(program).arg(run).args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for args in [["--queue", "0"], ["--queue", "10"], ["--threads", "many"], ["--listen", "here"]] {
        let (code, said) = start(&run.path, &args);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(args[0]), "{said}");
    }
    let (code, said) = start(&run.path.join("none"), &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("manifest.json"), "{said}");

    let weights = run.path.join("best.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let (code, said) = start(&run.path, &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("best.safetensors") && said.contains("changed"), "{said}");
}
