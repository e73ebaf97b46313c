//! Commands that read a run, and what is none or not whole.

mod common;

use std::fs;

use common::training::{args, place};
use common::{TINY, check_refused};

#[test]
fn what_is_not_a_run() {
    let place = place();
    place.write("rows.csv", "x\n");
    fs::create_dir(place.path("empty")).unwrap();
    place.run(&[&TINY[..], &["--routers", "top-k", "--out", "compared"]].concat()).succeeded();
    for command in ["eval", "inspect", "predict --input rows.csv"] {
        let base: Vec<&str> = command.split(' ').collect();
        check_refused(
            &place,
            &base,
            &[
                (
                    "nothing",
                    1,
                    &["nothing: is not the directory of a run: it has no manifest.json"],
                ),
                ("empty", 1, &["empty: is not the directory of a run: it has no manifest.json"]),
                ("compared", 1, &["compared: is not the directory of a run: it has no manifest"]),
                (
                    "rows.csv",
                    1,
                    &[
                        "rows.csv: is a file; a run is a directory with a manifest.json, as moe train",
                    ],
                ),
            ],
        );
    }
}

#[test]
fn what_is_not_whole() {
    let place = place();
    place.run(&args("run", &["--epochs", "1"])).succeeded();
    place.write("rows.csv", "x\n");
    let (weights, manifest) = (place.read("run/best.safetensors"), place.read("run/manifest.json"));
    let mut flipped = weights.clone();
    flipped[weights.len() / 2] ^= 4;
    let deep = "[".repeat(200_000).into_bytes();
    for (name, content, says) in [
        ("best.safetensors", &weights[..weights.len() / 2], "run/best.safetensors: should have "),
        (
            "best.safetensors",
            &flipped,
            "run/best.safetensors: has been changed: its SHA-256 is not",
        ),
        ("manifest.json", &deep, "run/manifest.json: "),
        ("manifest.json", &manifest[..manifest.len() / 2], "run/manifest.json: "),
        ("manifest.json", b"{}", "run/manifest.json: "),
    ] {
        let before = place.read(&format!("run/{name}"));
        place.write(&format!("run/{name}"), content);
        for command in
            [&["eval", "run"][..], &["inspect", "run"], &["predict", "run", "--input", "rows.csv"]]
        {
            let ran = place.run(command).failed(1, &[says]);
            assert!(ran.stderr.len() < 1000, "a sentence, not a page: {}", ran.stderr);
        }
        place.write(&format!("run/{name}"), before);
    }
    place.run(&["eval", "run"]).succeeded();
}

#[test]
fn another_k_than_the_model_allows() {
    let place = place();
    place.write("rows.csv", "x\n");
    for (router, out) in [("top-k", "sparse"), ("softmax", "dense")] {
        let train = ["train", "--config", "short.toml", "--epochs", "1", "--progress", "none"];
        place.run(&[&train[..], &["--router", router, "--out", out]].concat()).succeeded();
    }
    check_refused(
        &place,
        &[],
        &[
            ("eval sparse --sweep k=a", 2, &["\"a\" is not allowed", "a whole number from 1"]),
            ("eval sparse --sweep q=1", 2, &["\"q\" cannot be swept; k and capacity can"]),
            ("eval sparse --sweep k=99", 2, &["--sweep k=99: router top-k: k = 99", "from 1 to 4"]),
            ("eval dense --sweep k=2", 2, &["router softmax does not use K"]),
            (
                "predict dense --input rows.csv --k 3",
                2,
                &["dense: router softmax does not use K, so it cannot be overridden"],
            ),
            ("predict sparse --input rows.csv --k 0", 2, &["k = 0 is not allowed"]),
            ("predict sparse --input rows.csv --k -1", 2, &["'-1'", "--k"]),
        ],
    );
}
