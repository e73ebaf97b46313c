//! `moe train`: what a run leaves, and that an interrupted one goes on to the same bits.

mod common;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Place, Ran, timeless};
use serde_json::Value;
use sha2::{Digest, Sha256};

const FILES: [&str; 7] = [
    "best.safetensors",
    "config.resolved.toml",
    "last.safetensors",
    "manifest.json",
    "metrics.jsonl",
    "result.json",
    "state",
];

/// A run of a few epochs.
const SHORT: &str = r#"
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

/// So many epochs that there is time to interrupt them, and a rate at which the best is not the last.
const LONG: [&str; 4] = ["--epochs", "100", "--set", "train.patience=100"];

/// `moe train` of `SHORT` with the router `top-k` into `out`.
fn args<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
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

fn place() -> Place {
    let place = Place::new();
    place.write("short.toml", SHORT);
    place
}

fn metrics(place: &Place, out: &str) -> Vec<Value> {
    let lines = place.text(&format!("{out}/metrics.jsonl"));
    assert!(lines.ends_with('\n'));
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every file that the manifest names has the sum that it says.
fn check_manifest(place: &Place, out: &str) {
    let manifest = place.json(&format!("{out}/manifest.json"));
    assert_eq!(manifest["format"], 1);
    let files = manifest["files"].as_object().unwrap();
    let named: Vec<&String> = files.keys().collect();
    assert_eq!(
        named,
        ["best.safetensors", "config.resolved.toml", "last.safetensors", "metrics.jsonl", "state"]
    );
    for (name, sum) in files {
        let digest = Sha256::digest(place.read(&format!("{out}/{name}")));
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(*sum, digest, "{name}");
    }
}

/// The names of the tensors in a safetensors file: a length, then a JSON object of that length.
fn tensors(bytes: &[u8]) -> Vec<String> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    header.as_object().unwrap().keys().cloned().collect()
}

/// A process that is killed when it goes out of scope.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the command until `out` holds the metrics of `epochs` epochs, then kills it on the spot.
fn kill_after(place: &Place, args: &[&str], out: &str, epochs: usize) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moe"));
    command.args(args).current_dir(place.path("")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    let metrics = place.path(out).join("metrics.jsonl");
    let done = || fs::read_to_string(&metrics).map_or(0, |text| text.lines().count());
    let started = Instant::now();
    while done() < epochs {
        let ended = running.0.try_wait().unwrap();
        assert!(ended.is_none(), "it ended with {ended:?} after {} epochs", done());
        assert!(started.elapsed() < Duration::from_secs(60), "no epoch ends");
        sleep(Duration::from_millis(2));
    }
    drop(running);
    assert!(!place.path(out).join("result.json").exists(), "the run was over before it was killed");
}

/// Both runs have come to the same end.
fn check_same_end(place: &Place, a: &str, b: &str) {
    for name in ["best.safetensors", "last.safetensors", "config.resolved.toml"] {
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

#[test]
fn a_run_leaves_all_its_files() {
    let place = place();
    let ran = place.run(&args("run", &["--format", "json"])).succeeded();
    assert_eq!(place.list("run"), FILES);
    check_manifest(&place, "run");

    let result = place.json("run/result.json");
    assert_eq!(ran.json(), result, "stdout holds the result");
    assert_eq!((&result["router"], &result["seed"]), (&"top-k".into(), &1.into()));
    assert_eq!((&result["epochs"], &result["steps"]), (&3.into(), &18.into()));

    let metrics = metrics(&place, "run");
    assert_eq!(metrics.len(), 3);
    for (record, epoch) in metrics.iter().zip(1u64..) {
        assert_eq!((&record["epoch"], &record["steps"]), (&epoch.into(), &(6 * epoch).into()));
        for key in ["train_loss", "val_loss", "experts_per_row", "seconds"] {
            assert!(record[key].as_f64().is_some_and(f64::is_finite), "{key}");
        }
        assert_eq!(record["train_terms"][1][0], "right");
    }
    let best = result["best_epoch"].as_u64().unwrap() as usize;
    assert_eq!(metrics[best - 1]["val_loss"], result["val_loss"]);

    let manifest = place.json("run/manifest.json");
    assert_eq!(manifest["best_epoch"], result["best_epoch"]);
    assert_eq!(manifest["model"]["router"], "top-k");
    let resolved = place.text("run/config.resolved.toml");
    assert!(resolved.contains("routers = [\"top-k\"]\n") && resolved.contains("seeds = 1\n"));

    let best = place.read("run/best.safetensors");
    let names = tensors(&best);
    assert!(names.contains(&"layer.experts.weight".into()), "{names:?}");
    assert_eq!(names, tensors(&place.read("run/last.safetensors")));
}

#[test]
fn what_is_recorded_is_what_is_run() {
    let place = place();
    let set = ["--set", "run.seeds=3", "--set", "run.routers=['top-k', 'softmax']"];
    let ran = place.run(&args("run", &set)).succeeded();
    assert!(!ran.stdout.contains("NaN") && !ran.stdout.contains("softmax"), "{}", ran.stdout);
    assert!(ran.stdout.contains(" 1 seed(s)"), "{}", ran.stdout);
    // The recorded configuration gives the same run, without naming the router.
    let config = ["train", "--config", "run/config.resolved.toml", "--out", "again"];
    place.run(&config).succeeded();
    check_same_end(&place, "run", "again");
    // Without a router named, the first is taken; without a folder named, it is a new one.
    place.run(&["train", "--config", "short.toml", "--epochs", "1"]).succeeded();
    assert_eq!(place.list("runs"), ["train-multi-optdigits-softmax"]);
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let place = place();
    place.run(&args("whole", &[&LONG[..], &["--threads", "1"]].concat())).succeeded();
    let result = place.json("whole/result.json");
    assert!(result["best_epoch"].as_u64() < Some(100), "the best weights are not the last ones");

    kill_after(&place, &args("killed", &LONG), "killed", 3);
    let resume = args("killed", &[&LONG[..], &["--resume"]].concat());
    // A second time, from further on.
    kill_after(&place, &resume, "killed", 10);
    // A kill between the two files of a checkpoint leaves a state without its line.
    let text = place.text("killed/metrics.jsonl");
    let shorter: Vec<&str> = text.split_inclusive('\n').collect();
    place.write("killed/metrics.jsonl", shorter[..shorter.len() - 1].concat());

    let ran = place.run(&[&resume[..], &["--format", "json"]].concat()).succeeded();
    check_same_end(&place, "whole", "killed");
    assert_eq!(timeless(ran.json()), timeless(result));
    assert_eq!(place.list("killed"), FILES);

    // A finished run has nothing left to do, and says the same again.
    let state = place.read("killed/state");
    fs::remove_file(place.path("killed/metrics.jsonl")).unwrap();
    place.run(&resume).succeeded();
    assert_eq!(place.read("killed/state"), state);
    check_same_end(&place, "whole", "killed");
}

#[test]
fn only_the_same_run_is_resumed() {
    let place = place();
    place.run(&args("run", &[])).succeeded();
    let before = place.read("run/result.json");
    let resume = |more: &[&str]| place.run(&args("run", &[&["--resume"], more].concat()));

    resume(&["--epochs", "4"])
        .failed(1, &["config.resolved.toml: differs", "`epochs = 3`", "`epochs = 4`"]);
    resume(&["--set", "train.learning_rate=1e-3"]).failed(1, &["`learning_rate = 0.01`"]);
    let other =
        ["train", "--config", "short.toml", "--router", "softmax", "--out", "run", "--resume"];
    place
        .run(&other)
        .failed(1, &["`routers = [\"top-k\"]` where `routers = [\"softmax\"]` is given"]);
    place.run(&["train", "--config", "short.toml", "--resume"]).failed(2, &["--out"]);
    place.run(&args("other", &["--resume"])).failed(1, &["other: is not the directory of a run"]);
    assert!(!place.path("other").exists());
    // And without --resume nothing is overwritten.
    place.run(&args("run", &[])).failed(1, &["run: is not empty"]);
    assert_eq!(place.read("run/result.json"), before);
}

#[test]
fn a_state_that_is_not_whole_is_refused() {
    let place = place();
    place.run(&args("run", &["--epochs", "1"])).succeeded();
    let resume = || place.run(&args("run", &["--epochs", "1", "--resume"]));
    let state = place.read("run/state");
    let length = format!("should have {} bytes", state.len());
    let with = |change: &dyn Fn(&mut Vec<u8>)| -> Ran {
        let mut bytes = state.clone();
        change(&mut bytes);
        place.write("run/state", bytes);
        resume()
    };
    with(&|_| ()).succeeded();
    with(&|bytes| bytes.clear()).failed(1, &["run/state: not a file of this project"]);
    with(&|bytes| *bytes = b"hello".to_vec()).failed(1, &["run/state: not a file of this project"]);
    with(&|bytes| bytes.truncate(20)).failed(1, &["run/state: should have 64 bytes, has 20"]);
    with(&|bytes| bytes.truncate(3000)).failed(1, &["run/state: ", &length, "has 3000"]);
    with(&|bytes| bytes.push(0)).failed(1, &["run/state: ", &length]);
    with(&|bytes| bytes[200] ^= 1).failed(1, &["run/state: is damaged"]);
    with(&|bytes| *bytes.last_mut().unwrap() ^= 0x80).failed(1, &["run/state: is damaged"]);
    with(&|bytes| bytes[16] += 1).failed(1, &["run/state: ", "version 2, not", "version 1"]);
    with(&|bytes| bytes[20] = 12 - bytes[20]).failed(1, &["run/state: ", "this build works with"]);
    fs::remove_file(place.path("run/state")).unwrap();
    resume().failed(1, &["run: has no state to resume from", "another directory"]);
}
