//! `moe data`: fetch, verify and stats.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use common::Place;

/// A site that gives this file once, and its address.
fn site(content: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
        let length = content.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").unwrap();
        stream.write_all(content).unwrap();
    });
    format!("http://{address}/")
}

#[test]
fn a_set_is_fetched_and_described() {
    let place = Place::new();
    let rows = "1::0000002::7::1\n1::0000003::8::1\n2::0000002::7::1\n3::0000004::1::1\n";
    let mirror = format!("--mirror={}", site(rows.as_bytes()));
    let args = ["data", "fetch", "movietweetings", "--data-dir=data", &mirror];
    let fetched = place.run(&args).succeeded();
    assert_eq!(fetched.stdout, "data/movietweetings/ratings.dat\n");
    assert!(fetched.stderr.contains("terms of movietweetings: MIT"), "{}", fetched.stderr);
    let stats = ["data", "stats", "movietweetings", "--data-dir=data", "--set=dataset.cache=false"];
    let text = place.run(&stats).succeeded().stdout;
    for line in [
        "movietweetings: 7 rows (train 5, val 1, test 1)",
        "ids user: 3 of 3 occur",
        "watch: 7 rows",
        "    1         4  57.1 %",
        "rating: 4 rows, mean 5.75000, standard deviation 2.77263, from 1 to 8",
        "    7         2  50.0 %",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let listed = place.run(&["data", "list"]).succeeded().stdout;
    assert!(
        listed.contains("moe data fetch svhn\n") && !listed.contains("fetch jester"),
        "{listed}"
    );
}

#[test]
fn terms_and_limits_come_first() {
    let place = Place::new();
    for (args, status, says) in [
        ("fetch movielens-100k --data-dir data", 1, "no commercial use"),
        ("fetch jester --data-dir data", 1, "jester cannot be fetched: get it from"),
        // Nothing answers there.
        ("fetch movietweetings --data-dir offline --mirror=http://127.0.0.1:9/", 1, "127.0.0.1:9/"),
        ("fetch movielens-100q --data-dir data", 2, "did you mean \"movielens-100k\"?"),
        ("stats usps --data-dir data", 1, "the data set usps needs USPS.mat in data/usps"),
        ("stats restaurant --set dataset.negatives=1", 2, "`negatives` does not apply"),
        ("verify table --data-dir data", 2, "[dataset.table]"),
    ] {
        let args: Vec<&str> = ["data"].into_iter().chain(args.split(' ')).collect();
        place.run(&args).failed(status, &[says]);
    }
    assert!(place.list("data").is_empty());
}

#[test]
fn what_is_not_the_original_is_told() {
    let place = Place::new();
    let text = place.run(&["data", "verify", "restaurant"]).succeeded().stdout;
    assert!(text.contains("the original has rows = 1161: the same here"), "{text}");
    place.write("data/ml-100k/u.data", "1\t1\t3\t0\n1\t2\t4\t0\n2\t3\t5\t0\n2\t1\t5\t0\n");
    let args = ["data", "verify", "movielens-100k", "--data-dir=data"];
    place.run(&args).failed(
        1,
        &[
            "data/ml-100k/u.data: not the original",
            "the original has rating.rows = 100000: here 4",
            "movielens-100k differs from the original in data/ml-100k/u.data, rating.rows",
        ],
    );
}
