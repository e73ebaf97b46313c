//! Run directories are intact at every moment, and damaged ones are refused.

mod common;

use std::fs;
use std::path::Path;

use common::saved_runs::{copy, names, run, run_folded};
use common::{build, description, options};
use moe_nn::{
    RunDir, RunDirError, RunInfo, SavedModel, TrainOptions, TrainState, Weights, continue_training,
};

#[test]
fn files_at_rest_have_plain_names() {
    let (_place, path, model) = run(3);
    let (mut dir, state) = RunDir::open(&path).unwrap();
    assert!(names(&path).contains(&"last-3.safetensors".into()), "{:?}", names(&path));
    dir.set_card("# A model\n").unwrap();
    dir.finish().unwrap();
    drop(dir);
    let at_rest = [
        "best.safetensors",
        "config.resolved.toml",
        "features.json",
        "last.safetensors",
        "manifest.json",
        "metrics.jsonl",
        "model.md",
        "moments.safetensors",
        "state",
    ];
    assert_eq!(names(&path), at_rest);
    let (mut dir, opened) = RunDir::open(&path).unwrap();
    assert!(opened == state);
    assert_eq!(Weights::load(&path.join("best.safetensors")).unwrap(), Weights::of(&model));
    assert_eq!(&Weights::load(&path.join("last.safetensors")).unwrap(), state.last());
    assert_eq!(dir.config().unwrap().unwrap(), "[train]\nepochs = 4\n");

    // A finished run that continues, and finishes again.
    let source = common::ids(1, 40);
    let mut model = build(&description(&source, "top-k"), 9);
    let options = TrainOptions { epochs: 5, ..options(1) };
    continue_training(&mut model, opened, &source, &source, &options, &mut dir).unwrap();
    assert!(!path.join("model.md").exists(), "the card was that of the model before");
    dir.set_card("# A better model\n").unwrap();
    dir.finish().unwrap();
    drop(dir);
    assert_eq!(names(&path), at_rest);
    let metrics = fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let epochs: Vec<u64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["epoch"].as_u64())
        .map(Option::unwrap)
        .collect();
    assert_eq!(epochs, [1, 2, 3, 4, 5]);
}

/// A checkpoint that is interrupted after any of its writes leaves the previous one.
#[test]
fn an_unfinished_checkpoint_does_not_count() {
    let (place, before, _) = run(2);
    let (_, state) = RunDir::open(&before).unwrap();
    let source = common::ids(1, 40);

    let after = place.path().join("after");
    copy(&before, &after);
    let (mut dir, start) = RunDir::open(&after).unwrap();
    let mut model = build(&description(&source, "top-k"), 9);
    let options = TrainOptions { epochs: 3, ..options(1) };
    continue_training(&mut model, start, &source, &source, &options, &mut dir).unwrap();
    drop(dir);

    let mut written: Vec<(String, Vec<u8>)> = Vec::new();
    for name in names(&after) {
        // In the order of writing, but for the manifests, which are replaced as a whole.
        if !before.join(&name).exists() || name == "metrics.jsonl" {
            written.push((name.clone(), fs::read(after.join(&name)).unwrap()));
        }
    }
    let manifest = fs::read(after.join("manifest.json")).unwrap();
    written.push(("manifest.json.7-0.partial".into(), manifest.clone()));
    assert!(written.len() >= 4, "{written:?}");
    for whole in 0..=written.len() {
        // The next file is in the middle of being written.
        for half in [false, true] {
            let path = place.path().join(format!("cut-{whole}-{half}"));
            copy(&before, &path);
            for (name, content) in &written[..whole] {
                fs::write(path.join(name), content).unwrap();
            }
            if let Some((name, content)) = written.get(whole).filter(|_| half) {
                let least = fs::read(before.join(name)).map_or(0, |content| content.len());
                let cut = least.max(content.len() / 2);
                fs::write(path.join(name), &content[..cut]).unwrap();
            }
            let found = names(&path);
            let read = SavedModel::open(&path).unwrap();
            assert!(read.weights() == state.best(), "{whole} {half}");
            assert_eq!(names(&path), found, "{whole} {half}");
            let (_, opened) = RunDir::open(&path).unwrap();
            assert!(opened == state, "{whole} {half}");
            assert_eq!(names(&path), names(&before), "{whole} {half}");
            for name in names(&before) {
                let [a, b] = [&path, &before].map(|dir| fs::read(dir.join(&name)).unwrap());
                assert!(a == b, "{name} {whole} {half}");
            }
        }
    }

    // Once the manifest is in place the new checkpoint is valid, also while files of the old one still exist.
    let path = place.path().join("committed");
    copy(&before, &path);
    copy(&after, &path);
    let (_, opened) = RunDir::open(&path).unwrap();
    assert_eq!(opened.history().epochs.len(), 3);
    assert_eq!(names(&path), names(&after));

    // Before the manifest of the checkpoint before is replaced too, the one before that is kept.
    let path = place.path().join("between");
    copy(&before, &path);
    let previous = fs::read(path.join("manifest.previous.json")).unwrap();
    copy(&after, &path);
    fs::write(path.join("manifest.previous.json"), previous).unwrap();
    let (_, opened) = RunDir::open(&path).unwrap();
    assert_eq!(opened.history().epochs.len(), 3);
    assert!(!path.join("last-2.safetensors").exists());
    fs::remove_file(path.join("last-3.safetensors")).unwrap();
    let (_, opened) = RunDir::open(&path).unwrap();
    assert_eq!(opened.history().epochs.len(), 1);
}

/// The best weights are saved without the tensors that folding drops, and are complete when training continues.
#[test]
fn best_weights_are_kept_folded() {
    let (_place, path, model) = run_folded(3, true);
    let (_unfolded, plain, _) = run(3);
    let (_, expected) = RunDir::open(&plain).unwrap();
    for finished in [false, true] {
        let (mut dir, state) = RunDir::open(&path).unwrap();
        assert_eq!((state.best(), state.last()), (expected.best(), expected.last()));
        assert_eq!(state.best(), &Weights::of(&model));
        let kept = SavedModel::open(&path).unwrap().weights().clone();
        let missing = kept.check(&model).unwrap_err();
        assert_eq!(missing.to_string(), "tensor \"layer.experts.bias\" is missing");
        let of_epoch = format!("best-{}.safetensors", state.history().best_epoch);
        let file = if finished { "best.safetensors" } else { &of_epoch };
        assert_eq!(Weights::load(&path.join(file)).unwrap(), kept);
        dir.finish().unwrap();
        assert!(path.join("learning.safetensors").exists());
    }
    let (_, state) = RunDir::open(&plain).unwrap();
    assert_eq!(SavedModel::open(&plain).unwrap().weights(), state.best());
}

#[test]
fn a_run_that_has_not_begun_is_begun_anew() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    let model = build(&description(&common::ids(1, 1), "top-k"), 1);
    let state = TrainState::new(&model, options(1).optimizer);
    fs::create_dir(&path).unwrap();
    fs::write(path.join("config.resolved.toml"), "half").unwrap();
    fs::write(path.join("state-0"), "half").unwrap();
    assert!(!RunDir::is_run(&path));
    let error = RunDir::open(&path).unwrap_err();
    assert!(matches!(error, RunDirError::NotARun { .. }), "{error}");
    RunDir::create(&path, RunInfo::default(), &state).unwrap();
    assert!(RunDir::is_run(&path));
    assert!(RunDir::open(&path).unwrap().1 == state);

    // Neither a run nor any other file is overwritten.
    let error = RunDir::create(&path, RunInfo::default(), &state).unwrap_err();
    assert!(error.to_string().contains("is not empty"), "{error}");
    let other = place.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.txt"), "years of work").unwrap();
    let error = RunDir::create(&other, RunInfo::default(), &state).unwrap_err();
    assert!(error.to_string().contains("it holds thesis.txt"), "{error}");
    assert_eq!(names(&other), ["thesis.txt"]);
}

#[test]
fn a_card_is_replaced_as_a_whole() {
    let (_place, path, _) = run(1);
    let (mut dir, _) = RunDir::open(&path).unwrap();
    for text in ["# One\n", "# Another one\n", "# Another one\n"] {
        dir.set_card(text).unwrap();
        assert_eq!(fs::read_to_string(path.join("model.md")).unwrap(), text);
        SavedModel::open(&path).unwrap();
    }
    // Killed after the file and before the manifest: the file is not part of the run.
    let without = path.with_file_name("without");
    copy(&path, &without);
    let (mut dir, state) = RunDir::open(&without).unwrap();
    dir.commit(&state).unwrap();
    drop(dir);
    fs::write(without.join("model.md"), "# Hal").unwrap();
    RunDir::open(&without).unwrap();
    assert!(!without.join("model.md").exists());
    // A file of this name in a directory that is not a run yet belongs to somebody else.
    let other = path.with_file_name("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("model.md"), "# Mine\n").unwrap();
    let error = RunDir::create(&other, RunInfo::default(), &state).unwrap_err();
    assert!(error.to_string().contains("it holds model.md"), "{error}");
}

#[test]
fn every_file_missing_cut_or_changed_is_named() {
    let (place, path, _) = run_folded(2, true);
    let (mut dir, _) = RunDir::open(&path).unwrap();
    dir.set_card("# A model\n").unwrap();
    dir.set_result("{}\n").unwrap();
    dir.finish().unwrap();
    drop(dir);
    assert_eq!(names(&path).len(), 11, "{:?}", names(&path));
    let damaged = |name: &str, change: &dyn Fn(&mut Vec<u8>)| -> String {
        let copied = tempfile::tempdir_in(place.path()).unwrap();
        copy(&path, copied.path());
        let file = copied.path().join(name);
        let mut content = fs::read(&file).unwrap();
        change(&mut content);
        fs::write(&file, content).unwrap();
        let error = RunDir::open(copied.path()).expect_err(name).to_string();
        assert!(error.starts_with(&file.display().to_string()), "{name}: {error}");
        error
    };
    // The log is written again if it is damaged.
    for name in names(&path).into_iter().filter(|name| name != "metrics.jsonl") {
        let copied = tempfile::tempdir_in(place.path()).unwrap();
        copy(&path, copied.path());
        fs::remove_file(copied.path().join(&name)).unwrap();
        let error = RunDir::open(copied.path()).unwrap_err().to_string();
        assert!(error.contains(&name), "{name}: {error}");

        damaged(&name, &|content| content.truncate(content.len() - 2));
        damaged(&name, &|content| content.clear());
        if name == "manifest.json" {
            let format = damaged(&name, &|content| {
                let text = String::from_utf8(content.clone()).unwrap();
                *content = text.replace("\"format\": 2", "\"format\": 7").into_bytes();
            });
            let says = "has format 7, but this program reads formats 1 to 2";
            assert!(format.contains(says), "{format}");
            // A valid manifest, but another one.
            let changed = damaged(&name, &|content| {
                let text = String::from_utf8(content.clone()).unwrap();
                *content = text.replace("\"seed\": 1", "\"seed\": 2").into_bytes();
            });
            assert!(changed.contains("SHA-256"), "{changed}");
            damaged(&name, &|content| content[0] = 0xff);
        } else {
            let changed = damaged(&name, &|content| {
                let middle = content.len() / 2;
                content[middle] ^= 1;
            });
            assert!(changed.contains("SHA-256"), "{changed}");
        }
    }
    // The log may be longer if a run was killed; any other file must be exactly as long as recorded.
    damaged("state", &|content| content.push(0));
    RunDir::open(&path).unwrap();
}

#[test]
fn a_model_with_the_same_shapes_and_other_names_is_refused() {
    let (_place, path, _) = run(1);
    let (_, state) = RunDir::open(&path).unwrap();
    let mut source = common::ids(1, 40);
    source.input.columns[0].name = "reader".into();
    let mut model = build(&description(&source, "top-k"), 1);
    let error =
        continue_training(&mut model, state, &source, &source, &options(1), &mut ()).unwrap_err();
    assert!(error.to_string().contains("\"encoder.reader.weight\" is missing"), "{error}");
}

/// The manifest of the run at `path`, changed, with a right checksum.
fn change_manifest(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let file = path.join("manifest.json");
    let mut manifest = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut manifest);
    manifest["sha256"] = "".into();
    fs::write(file, manifest.to_string()).unwrap();
}

/// A run from somebody else cannot make a reader open or change anything outside of its directory.
#[cfg(unix)]
#[test]
fn a_manifest_names_regular_files_of_its_own_directory_only() {
    let (place, path, _) = run(2);
    RunDir::open(&path).unwrap().0.finish().unwrap();
    let foreign = place.path().join("foreign");
    fs::write(&foreign, "years of work").unwrap();
    let outside = foreign.display().to_string();
    let opened = |change: &dyn Fn(&Path)| {
        let copied = tempfile::tempdir_in(place.path()).unwrap();
        copy(&path, copied.path());
        change(copied.path());
        let opened =
            [SavedModel::open(copied.path()).map(drop), RunDir::open(copied.path()).map(drop)];
        assert_eq!(fs::read_to_string(&foreign).unwrap(), "years of work");
        opened.map(|opened| opened.err().map(|error| error.to_string()))
    };
    let refused = |says: &str, by: &[usize], change: &dyn Fn(&Path)| {
        for (i, error) in opened(change).into_iter().enumerate() {
            let says = by.contains(&i).then_some(says);
            let is_right =
                error.as_deref().map_or(says.is_none(), |e| e.contains(says.unwrap_or("?")));
            assert!(is_right, "{i}: {error:?}, not {says:?}");
        }
    };
    for (role, place, readers) in [
        ("config", "", &[0, 1][..]),
        ("features", "", &[0, 1]),
        ("best", "/0", &[0, 1]),
        ("last", "/0", &[1]),
        ("moments", "/0", &[1]),
        ("state", "", &[1]),
        // It is only a log.
        ("metrics", "", &[]),
    ] {
        let entry = format!("/files/{role}{place}");
        for name in
            ["/dev/zero", "../foreign", outside.as_str(), "", ".", "manifest.json", "last-x"]
        {
            refused("which is not a name of a run", &[0, 1], &|path| {
                change_manifest(path, |manifest| {
                    manifest.pointer_mut(&entry).unwrap()["name"] = name.into();
                });
            });
        }
        let of_run = |path: &Path| -> std::path::PathBuf {
            let manifest = fs::read(path.join("manifest.json")).unwrap();
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
            path.join(manifest.pointer(&entry).unwrap()["name"].as_str().unwrap())
        };
        refused("is not a regular file", readers, &|path| {
            let file = of_run(path);
            fs::remove_file(&file).unwrap();
            std::os::unix::fs::symlink(&foreign, &file).unwrap();
        });
        refused("should have", readers, &|path| {
            change_manifest(path, |manifest| {
                manifest.pointer_mut(&entry).unwrap()["bytes"] = (1u64 << 60).into();
            });
        });
        if role != "metrics" {
            refused("is not a regular file", readers, &|path| {
                let file = of_run(path);
                fs::remove_file(&file).unwrap();
                fs::create_dir(&file).unwrap();
            });
        }
    }
    refused("is not a regular file", &[0, 1], &|path| {
        fs::rename(path.join("manifest.json"), path.join("notes.json")).unwrap();
        std::os::unix::fs::symlink(path.join("notes.json"), path.join("manifest.json")).unwrap();
    });
    for (role, says) in [("last", "names no file as last"), ("best", "names no file as best")] {
        refused(says, &[0, 1], &|path| {
            change_manifest(path, |manifest| manifest["files"][role] = serde_json::json!([]));
        });
    }
    for (key, value) in [("best_epoch", 3u64), ("generation", 1 << 60)] {
        refused("says that the best of 2 epochs is epoch", &[0, 1], &|path| {
            change_manifest(path, |manifest| manifest[key] = serde_json::json!(value));
        });
    }
    // The numbers of the manifest are those of the state.
    for (key, value) in [("epochs", 7), ("best_epoch", 0)] {
        refused("is not that of the manifest: it has 2 epochs", &[1], &|path| {
            change_manifest(path, |manifest| manifest[key] = value.into());
        });
    }
}

#[test]
fn a_run_that_has_lost_its_manifests_is_not_overwritten() {
    for is_finished in [false, true] {
        let (_place, path, model) = run(2);
        if is_finished {
            RunDir::open(&path).unwrap().0.finish().unwrap();
        }
        for name in ["manifest.json", "manifest.previous.json"] {
            assert_eq!(fs::remove_file(path.join(name)).is_err(), is_finished && name.len() > 13);
        }
        let before = names(&path);
        let state = TrainState::new(&model, options(1).optimizer);
        let error = RunDir::create(&path, RunInfo::default(), &state).unwrap_err();
        assert!(matches!(error, RunDirError::LostManifest { .. }), "{error}");
        assert_eq!(names(&path), before);
        // The log alone says that there were epochs.
        for name in before.iter().filter(|name| *name != "metrics.jsonl") {
            fs::remove_file(path.join(name)).unwrap();
        }
        let error = RunDir::create(&path, RunInfo::default(), &state).unwrap_err();
        assert!(
            error.to_string().contains("metrics.jsonl of a run that has been trained"),
            "{error}"
        );
    }
}
