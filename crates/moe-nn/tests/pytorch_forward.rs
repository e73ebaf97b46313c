//! The Python of `docs/weights.md` computes what the model computes: run as it stands there where Python has torch and
//! safetensors, and recorded by `recorded/weights_forward.py`.
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "common/movielens.rs"]
mod movielens;

use std::io::Write;
use std::process::{Command, Stdio};

use moe_core::tape::Tape;
use moe_core::{Mode, Pass, Real};
use moe_nn::{Model, save_weights};
use movielens::{SEED, batch, model};
use serde::Deserialize;

const DOCUMENT: &str = include_str!("../../../docs/weights.md");

/// Prints what the function of the document gives for `[user, movie]` from standard input.
const CALL: &str = "
import json, sys
user, movie = (torch.tensor(ids) for ids in json.load(sys.stdin))
json.dump([task.tolist() for task in predict(sys.argv[1], user, movie, int(sys.argv[2]))], sys.stdout)
";

#[derive(Deserialize)]
struct Recording {
    predictions: Vec<Vec<f64>>,
}

/// The predictions of both tasks for the first batch.
fn predictions(k: usize) -> Vec<Vec<f64>> {
    let (row_ids, inputs, _) = batch(0);
    let pass = Pass {
        mode: Mode::Infer,
        seed: SEED,
        step: 0,
        epoch: 0,
        row_ids: &row_ids,
        keys: &row_ids,
        groups: None,
        batch_rows: None,
        experts: None,
    };
    let tape = Tape::inference();
    let output = model(k, 0.0).run(&tape, &pass, &inputs);
    let values = |var: &moe_core::tape::Var<'_>| -> Vec<f64> {
        var.value().as_slice().iter().map(|&value| f64::from(value)).collect()
    };
    output.predictions.iter().map(values).collect()
}

/// The largest difference of two lists of predictions.
fn apart(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let lengths = |all: &[Vec<f64>]| all.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(a), lengths(b));
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Tolerance for rounding of values of about one.
const ALLOWED: f64 = if size_of::<Real>() == 8 { 1e-12 } else { 1e-5 };

#[test]
fn the_model_gives_what_was_recorded() {
    let recording = include_str!("recorded/weights_forward.json");
    let Recording { predictions: recorded } = serde_json::from_str(recording).unwrap();
    let (found, of_another_k) =
        (apart(&predictions(2), &recorded), apart(&predictions(1), &recorded));
    assert!(found <= ALLOWED, "{found}");
    assert!(of_another_k > 0.01, "a negative control: {of_another_k}");
}

#[test]
fn the_python_of_the_document_gives_what_the_model_gives() {
    let is_there = Command::new("python3").args(["-c", "import torch, safetensors.torch"]).output();
    if !is_there.is_ok_and(|ran| ran.status.success()) {
        println!("skipped: python3 with torch and safetensors is not here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("best.safetensors");
    save_weights(&model(2, 0.0), &file).unwrap();
    let snippet = DOCUMENT.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let (_, inputs, _) = batch(0);
    let ids = &inputs.ids;
    for k in ["2", "1"] {
        let mut python = Command::new("python3")
            .args(["-c", &format!("{snippet}{CALL}")])
            .args([file.as_os_str(), k.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let text = serde_json::to_string(&ids).unwrap();
        python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let ran = python.wait_with_output().unwrap();
        assert!(ran.status.success());
        let given: Vec<Vec<f64>> = serde_json::from_slice(&ran.stdout).unwrap();
        let found = apart(&predictions(2), &given);
        assert!((k == "2") == (found <= ALLOWED), "K = {k}: {found}");
    }
}
