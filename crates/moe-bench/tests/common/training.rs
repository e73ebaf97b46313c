//! A short training run, and what it leaves.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Place, timeless};

pub const FILES: [&str; 10] = [
    "best.safetensors",
    "config.resolved.toml",
    "last.safetensors",
    "manifest.json",
    "metrics.jsonl",
    "model.md",
    "moments.safetensors",
    "report.html",
    "result.json",
    "state",
];

/// A run of a few epochs.
pub const SHORT: &str = r#"
[dataset]
name = "multi-optdigits"
train_rows = 300
val_rows = 100
test_rows = 100

[model]
experts = 4
expert_width = 8
expert_dropout = 0.2
head_widths = [8]

[train]
epochs = 3
batch_rows = 50
learning_rate = 0.01

[run]
routers = ["softmax", "top-k"]
seeds = 2
"#;

/// `moe train` of `SHORT` with the router `top-k` into `out`.
pub fn args<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = [
        "train",
        "--config",
        "short.toml",
        "--router",
        "top-k",
        "--progress",
        "none",
        "--out",
        out,
    ];
    [&args, more].concat()
}

/// A folder with that configuration.
pub fn place() -> Place {
    let place = Place::new();
    place.write("short.toml", SHORT);
    place
}

pub fn metrics(place: &Place, out: &str) -> Vec<Value> {
    let lines = place.text(&format!("{out}/metrics.jsonl"));
    assert!(lines.ends_with('\n'));
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The manifests of the last checkpoint and, until the run is finished, of the one before name all files of the run but the page
/// about it; each has the length and the sum that they say.
pub fn check_manifest(place: &Place, out: &str) {
    let manifests = ["manifest.json", "manifest.previous.json"];
    let mut found = place.list(out);
    let mut names = Vec::new();
    for manifest in manifests.iter().filter(|name| found.iter().any(|found| found == *name)) {
        let manifest = place.json(&format!("{out}/{manifest}"));
        assert_eq!(manifest["format"], 2);
        // A file, or a list of files.
        let entries = |entry: &Value| entry.as_array().map_or(vec![entry.clone()], Vec::clone);
        for file in manifest["files"].as_object().unwrap().values().flat_map(entries) {
            let name = file["name"].as_str().unwrap();
            let content = place.read(&format!("{out}/{name}"));
            // The log grows.
            let length = file["bytes"].as_u64().unwrap() as usize;
            assert!(length == content.len() || name == "metrics.jsonl", "{name}");
            let digest = Sha256::digest(&content[..length]);
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(file["sha256"], digest, "{name}");
            names.push(name.to_owned());
        }
    }
    names.sort();
    names.dedup();
    found.retain(|name| !manifests.contains(&name.as_str()) && name != "report.html");
    assert_eq!(names, found);
}

/// Both runs have come to the same end.
pub fn check_same_end(place: &Place, a: &str, b: &str) {
    for name in ["best.safetensors", "last.safetensors", "config.resolved.toml", "model.md"] {
        assert_eq!(
            place.read(&format!("{a}/{name}")),
            place.read(&format!("{b}/{name}")),
            "{name}"
        );
    }
    let result = |out: &str| timeless(place.json(&format!("{out}/result.json")));
    assert_eq!(result(a), result(b));
    let metrics = |out| metrics(place, out).into_iter().map(timeless).collect::<Vec<_>>();
    assert_eq!(metrics(a), metrics(b));
    check_manifest(place, b);
}
