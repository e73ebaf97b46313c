//! A run whose tensors are in several files, one for each rank that trained a part of the model.

mod common;

use std::fs;
use std::path::Path;

use common::saved_runs::{copy, run};
use moe_core::checksum::{hex, sha256};
use moe_core::{Real, Tensor};
use moe_nn::{RunDir, SavedModel, Weights};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// Writes some tensors into a file of the run at `path`; returns its entry for the manifest.
fn write(path: &Path, name: &str, tensors: &[(&str, &Tensor)]) -> Value {
    let dtype = if common::DOUBLE { Dtype::F64 } else { Dtype::F32 };
    let bytes = |values: &[Real]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let all: Vec<_> =
        tensors.iter().map(|(n, t)| (*n, t.shape().to_vec(), bytes(t.as_slice()))).collect();
    let views = all
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    let content = safetensors::serialize(views, None).unwrap();
    fs::write(path.join(name), &content).unwrap();
    json!({"name": name, "bytes": content.len(), "sha256": hex(&sha256(&content))})
}

/// Splits the tensors of a role into files of two ranks; with `twice`, both have the first one.
fn split(path: &Path, role: &str, twice: bool) {
    let file = path.join(format!("{role}.safetensors"));
    let weights = Weights::load(&file).unwrap();
    let all: Vec<(&str, &Tensor)> = weights.iter().collect();
    let (first, second) = all.split_at(all.len() / 2);
    let second = if twice { [&first[..1], second].concat() } else { second.to_vec() };
    let parts = [(0, first.to_vec()), (1, second)];
    let entries =
        parts.map(|(rank, part)| write(path, &format!("{role}.{rank:04}.safetensors"), &part));
    fs::remove_file(file).unwrap();
    let file = path.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    manifest["files"][role] = json!(entries);
    manifest["sha256"] = "".into();
    fs::write(file, manifest.to_string()).unwrap();
}

#[test]
fn the_parts_of_all_ranks_are_the_tensors_of_the_run() {
    let (place, path, _) = run(2);
    let (mut dir, state) = RunDir::open(&path).unwrap();
    dir.finish().unwrap();
    drop(dir);
    let parts = place.path().join("parts");
    copy(&path, &parts);
    ["best", "last", "moments"].iter().for_each(|role| split(&parts, role, false));
    assert!(SavedModel::open(&parts).unwrap().weights() == state.best());
    let (mut dir, opened) = RunDir::open(&parts).unwrap();
    assert!(opened == state);
    // The next checkpoint has one file of each; the files of the ranks belong to the checkpoint before it until then.
    dir.commit(&opened).unwrap();
    assert!(
        parts.join("last-3.safetensors").exists() && parts.join("last.0001.safetensors").exists()
    );
    dir.finish().unwrap();
    assert!(
        parts.join("last.safetensors").exists() && !parts.join("last.0001.safetensors").exists()
    );
    drop(dir);
    assert!(RunDir::open(&parts).unwrap().1 == state);

    for role in ["best", "last", "moments"] {
        let twice = place.path().join(format!("twice-{role}"));
        copy(&path, &twice);
        split(&twice, role, true);
        let error = RunDir::open(&twice).unwrap_err().to_string();
        let says = format!("{role}.0001.safetensors: tensor \"");
        assert!(error.contains(&says) && error.ends_with("is in two files"), "{error}");
    }
}
