//! Runs of every format are read, continue to the same bits, and are refused if their parts do not belong together.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Memory, build, options};
use moe_core::Real;
use moe_core::checksum::{hex, sha256};
use moe_nn::{
    History, MixtureDescription, ModelDescription, Models, RunDir, RunInfo, SavedModel,
    TrainOptions, TrainState, Weights, continue_training, evaluate, load_weights,
};
use safetensors::tensor::{Dtype, TensorView};
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
        SavedModel::open(place.path()).unwrap();

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

/// Changes the saved moments of the run at `path`, which stays whole otherwise.
fn change_moments(path: &Path, change: impl Fn(&mut BTreeMap<String, Vec<Real>>)) {
    let mut manifest = manifest(path);
    let entry = &mut manifest["files"]["moments"][0];
    let file = path.join(entry["name"].as_str().unwrap());
    let weights = Weights::load(&file).unwrap();
    let moments = weights.iter().map(|(name, tensor)| (name.into(), tensor.as_slice().to_vec()));
    let mut moments = moments.collect();
    change(&mut moments);
    let dtype = if common::DOUBLE { Dtype::F64 } else { Dtype::F32 };
    let bytes = |values: &[Real]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let moments: Vec<_> = moments.iter().map(|(n, v)| (n, vec![v.len()], bytes(v))).collect();
    let views = moments.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(dtype, shape.clone(), bytes).unwrap())
    });
    let content = safetensors::serialize(views, None).unwrap();
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
    type Moments = BTreeMap<String, Vec<Real>>;
    let refused = |change: &dyn Fn(&mut Moments)| {
        let place = tempfile::tempdir_in(place.path()).unwrap();
        copy(&whole, place.path());
        change_moments(place.path(), change);
        let (_, state) = match RunDir::open(place.path()) {
            Ok(opened) => opened,
            Err(error) => return error.to_string(),
        };
        let mut model = build(&kept.description, 7);
        let before = common::bits(&model);
        let (source, options) = (&kept.source, TrainOptions { epochs: 2, ..options.clone() });
        let error = continue_training(&mut model, state, source, source, &options, &mut ());
        assert_eq!(common::bits(&model), before, "the model is as it was");
        error.unwrap_err().to_string()
    };
    let names = |parameter: &str| ["first", "second"].map(|n| format!("{parameter}.{n}_moment"));
    let says = |problem: &str| format!("the saved state is that of another model: {problem}");
    let missing = refused(&|moments| {
        names(bias).iter().for_each(|name| assert!(moments.remove(name).is_some()));
    });
    assert_eq!(missing, says("tensor \"layer.experts.bias\" has no moments"));
    let foreign = refused(&|moments| {
        for (name, other) in names(bias).iter().zip(names("layer.experts.scale")) {
            moments.insert(other, moments[name].clone());
        }
    });
    let problem = "tensor \"layer.experts.scale\" has moments, but is not a parameter of the model";
    assert_eq!(foreign, says(problem));
    let other_size = refused(&|moments| {
        moments.get_mut(&names(bias)[1]).unwrap().pop().unwrap();
    });
    let problem = "tensor \"layer.experts.bias\" has moments of [2, 1] numbers, not of [2, 2]";
    assert_eq!(other_size, says(problem));
    // Half of a pair, and a tensor that is no moment.
    for name in ["layer.experts.bias.first_moment", "layer.experts.bias"] {
        let wrong = refused(&|moments| {
            moments.remove(&names(bias)[1]);
            let first = moments.remove(&names(bias)[0]).unwrap();
            moments.insert(name.into(), first);
        });
        let says = format!("tensor \"{name}\" is not one of the two moments of a parameter");
        assert!(wrong.ends_with(&says), "{wrong}");
    }
}
