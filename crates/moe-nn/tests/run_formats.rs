//! Runs of every format are read, continue to the same bits, and are refused if their parts do not belong together.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Memory, build, options};
use moe_core::checksum::{hex, sha256};
use moe_core::envelope::{self, Kind};
use moe_nn::{
    History, MixtureDescription, ModelDescription, Models, Optimizer, RunDir, RunInfo,
    TrainOptions, TrainState, continue_training, evaluate, load_weights,
};
use moe_routers::telemetry::Consistency;
use serde_json::Value as Json;
use tempfile::TempDir;

/// A run of the fixtures, each made by a version of that format, and what it was trained on.
struct Kept {
    format: u32,
    epochs: usize,
    source: Memory,
    description: MixtureDescription,
}

fn kept() -> [Kept; 2] {
    let ids = common::ids(1, 40);
    let dense = common::dense(1, 16, 2);
    let smallest = common::description(&dense, "top-k")
        .with_experts(2)
        .with_expert_width(1)
        .with_head_widths(&[]);
    let description = common::description(&ids, "top-k");
    [
        Kept { format: 1, epochs: 3, source: ids, description },
        Kept { format: 2, epochs: 1, source: dense, description: smallest },
    ]
}

impl Kept {
    fn folder(&self) -> PathBuf {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        fixtures.join(format!("run-format-{}", self.format))
    }

    /// A copy of the run.
    fn copy(&self) -> TempDir {
        let place = tempfile::tempdir().unwrap();
        copy(&self.folder(), place.path());
        place
    }

    /// Trains one more epoch than the run has, from `state`; returns the bits of the model, and the history.
    fn go_on(&self, state: TrainState, dir: &mut RunDir) -> (Vec<u64>, History) {
        let mut model = build(&self.description, 9);
        let options = TrainOptions { epochs: self.epochs + 1, ..options(1) };
        let (source, model_ref) = (&self.source, &mut model);
        let history = continue_training(model_ref, state, source, source, &options, dir).unwrap();
        (common::bits(&model), history)
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

fn manifest(path: &Path) -> Json {
    serde_json::from_str(&fs::read_to_string(path.join("manifest.json")).unwrap()).unwrap()
}

#[test]
#[ignore = "writes the run of the present format into the fixtures: cargo test -p moe-nn --test run_formats -- --ignored"]
fn keep_a_run() {
    let [.., kept] = kept();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    let mut model = build(&kept.description, 1);
    let description: &dyn ModelDescription = &kept.description;
    let info = RunInfo { model: description.to_json(), seed: 1, ..RunInfo::default() };
    let options = TrainOptions { epochs: kept.epochs, ..options(1) };
    let state = TrainState::new(&model, options.optimizer.clone());
    let mut dir = RunDir::create(&path, info, &state).unwrap();
    continue_training(&mut model, state, &kept.source, &kept.source, &options, &mut dir).unwrap();
    dir.finish().unwrap();
    drop(dir);
    fs::create_dir_all(kept.folder()).unwrap();
    copy(&path, &kept.folder());
}

#[test]
fn runs_of_every_format_go_on() {
    for kept in kept() {
        let format = kept.format;
        let place = kept.copy();
        let mut saved = manifest(place.path());
        assert_eq!(saved["format"], format);
        let description = &mut saved["models"]["best"];
        description["model"] = "mixture".into();
        let described = Models::standard().read(description).unwrap();
        assert_eq!(described.fields(), kept.description.fields(), "format {format}");
        let mut model = build(&kept.description, 9);
        if common::DOUBLE {
            // Weights serve both precisions, a state only its own.
            let error = RunDir::open(place.path()).unwrap_err().to_string();
            assert!(error.contains("holds numbers of 4 bytes, this build works with 8"), "{error}");
            load_weights(&mut model, &place.path().join("best.safetensors")).unwrap();
            continue;
        }
        let (mut dir, state) = RunDir::open(place.path()).unwrap();
        let best = state.history().best_val_loss;
        assert_eq!(state.history().epochs.len(), kept.epochs);
        state.best().put_into(&mut model).unwrap();
        let loss = evaluate(&model, &kept.source, &options(1).task_weights, 16).loss;
        assert!((loss - best).abs() < 1e-5, "format {format}: {loss} {best}");

        // What only reads or finishes a run leaves its format.
        dir.finish().unwrap();
        assert_eq!(manifest(place.path())["format"], format);
        let (bits, history) = kept.go_on(state, &mut dir);
        assert_eq!(history.epochs.len(), kept.epochs + 1);
        let [first, .., last] = &history.epochs[..] else { panic!("{history:?}") };
        assert!(last.val_loss < first.val_loss, "format {format}");
        assert_eq!(manifest(place.path())["format"], 2);
        RunDir::open_to_read(place.path()).unwrap();

        // The same bits if the state passes through a checkpoint of the present format before.
        let place = kept.copy();
        let (mut dir, state) = RunDir::open(place.path()).unwrap();
        dir.commit(&state).unwrap();
        assert_eq!(manifest(place.path())["format"], 2);
        drop(dir);
        let (mut dir, saved) = RunDir::open(place.path()).unwrap();
        assert!(saved == state, "format {format}");
        assert_eq!(kept.go_on(saved, &mut dir).0, bits, "format {format}");
    }
}

/// The content of `state` in runs of the present format, between two epochs.
type Saved = (Optimizer, History, Vec<String>, BTreeMap<String, Vec<Consistency>>, Option<()>);

const KIND: Kind = Kind { name: "train-state", version: 5 };

/// Changes the saved optimiser of the run at `path`, which stays whole otherwise.
fn change_optimizer(path: &Path, change: impl Fn(&mut Json)) {
    let mut manifest = manifest(path);
    let entry = &mut manifest["files"]["state"];
    let file = path.join(entry["name"].as_str().unwrap());
    let (optimizer, history, frozen, memories, in_progress): Saved =
        envelope::open(KIND, &fs::read(&file).unwrap()).unwrap();
    let mut optimizer = serde_json::to_value(optimizer).unwrap();
    change(&mut optimizer);
    let optimizer: Optimizer = serde_json::from_value(optimizer).unwrap();
    let content =
        envelope::seal(KIND, &(optimizer, history, frozen, memories, in_progress)).unwrap();
    fs::write(&file, &content).unwrap();
    entry["bytes"] = content.len().into();
    entry["sha256"] = hex(&sha256(&content)).into();
    manifest["sha256"] = "".into();
    fs::write(path.join("manifest.json"), manifest.to_string()).unwrap();
}

#[test]
fn moments_of_another_model_are_named() {
    let [.., kept] = kept();
    let place = tempfile::tempdir().unwrap();
    let mut model = build(&kept.description, 1);
    let options = TrainOptions { epochs: 1, ..options(1) };
    let state = TrainState::new(&model, options.optimizer.clone());
    let whole = place.path().join("whole");
    let mut dir = RunDir::create(&whole, RunInfo::default(), &state).unwrap();
    continue_training(&mut model, state, &kept.source, &kept.source, &options, &mut dir).unwrap();

    let bias = "layer.experts.bias";
    let refused = |change: &dyn Fn(&mut Json)| {
        let place = tempfile::tempdir_in(place.path()).unwrap();
        copy(&whole, place.path());
        change_optimizer(place.path(), change);
        let (_, state) = RunDir::open(place.path()).unwrap();
        let mut model = build(&kept.description, 7);
        let before = common::bits(&model);
        let (source, options) = (&kept.source, TrainOptions { epochs: 2, ..options.clone() });
        let error = continue_training(&mut model, state, source, source, &options, &mut ());
        assert_eq!(common::bits(&model), before, "the model is as it was");
        error.unwrap_err().to_string()
    };
    let moments = |optimizer: &mut Json| optimizer["moments"].as_object_mut().unwrap().clone();
    let says = |problem: &str| format!("the saved state is that of another model: {problem}");
    let missing = refused(&|optimizer| {
        optimizer["moments"].as_object_mut().unwrap().remove(bias).unwrap();
    });
    assert_eq!(missing, says("tensor \"layer.experts.bias\" has no moments"));
    let foreign = refused(&|optimizer| {
        let other = moments(optimizer)[bias].clone();
        optimizer["moments"]["layer.experts.scale"] = other;
    });
    let problem = "tensor \"layer.experts.scale\" has moments, but is not a parameter of the model";
    assert_eq!(foreign, says(problem));
    let other_size = refused(&|optimizer| {
        optimizer["moments"][bias]["second"].as_array_mut().unwrap().pop().unwrap();
    });
    let problem = "tensor \"layer.experts.bias\" has moments of [2, 1] numbers, not of [2, 2]";
    assert_eq!(other_size, says(problem));
    // Without names, as in format 1: one too few.
    let fewer = refused(&|optimizer| {
        let mut all: Vec<Json> = moments(optimizer).into_iter().map(|(_, of)| of).collect();
        all.pop();
        optimizer["moments"] = Json::Object(Default::default());
        optimizer["unnamed"] = all.into();
    });
    assert!(fewer.contains("parameters, but there are moments of"), "{fewer}");
}
