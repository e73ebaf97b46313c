//! Runs that are saved in a new directory, and what is in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moe_nn::{Fold, Mixture, RunDir, RunInfo, TrainOptions, TrainState, continue_training};
use tempfile::TempDir;

use super::{build, description, ids, options};

const FEATURES: &str = "{\"ids\":[]}";

/// A run of this number of epochs, not finished.
pub(crate) fn run(epochs: usize) -> (TempDir, PathBuf, Mixture) {
    run_folded(epochs, false)
}

/// Such a run; with `fold`, its best weights are saved without one tensor.
pub(crate) fn run_folded(epochs: usize, fold: bool) -> (TempDir, PathBuf, Mixture) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    let source = ids(1, 40);
    let description = description(&source, "top-k");
    let mut model = build(&description, 1);
    let folded = Fold {
        model: Arc::new(description.clone()),
        dropped: vec!["layer.experts.bias".into(), "none.of.this.name".into()],
    };
    let info = RunInfo {
        config: Some("[train]\nepochs = 4\n".into()),
        features: Some(FEATURES.into()),
        model: serde_json::to_value(&description).unwrap(),
        fold: fold.then_some(folded),
        seed: 1,
    };
    let state = TrainState::new(&model, options(1).optimizer);
    let mut dir = RunDir::create(&path, info, &state).unwrap();
    let options = TrainOptions { epochs, ..options(1) };
    continue_training(&mut model, state, &source, &source, &options, &mut dir).unwrap();
    (place, path, model)
}

pub(crate) fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in names(from) {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}
