//! A run whose last checkpoint is damaged goes on from the one before, and says so.

mod common;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::saved_runs::{copy, names, run, run_folded};
use common::{build, description, options};
use moe_nn::{EpochRecord, RunDir, SavedModel, TrainOptions, TrainState, continue_training};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps the warnings of a thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        struct Message<'a>(&'a Warnings);
        impl Visit for Message<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0.0.lock().unwrap().push(format!("{value:?}"));
                }
            }
        }
        event.record(&mut Message(self));
    }
}

/// The result of `read`, and the warnings that it gave.
fn warned<T>(read: impl FnOnce() -> T) -> (T, Vec<String>) {
    let warnings = Warnings::default();
    let result = tracing::subscriber::with_default(warnings.clone(), read);
    let warnings = std::mem::take(&mut *warnings.0.lock().unwrap());
    (result, warnings)
}

/// A record without the time that the epoch took.
fn timeless(records: &[EpochRecord]) -> Vec<EpochRecord> {
    records.iter().map(|record| EpochRecord { seconds: 0.0, ..record.clone() }).collect()
}

/// Trains to five epochs in the run at `path`, from `state`.
fn go_on(dir: &mut RunDir, state: TrainState) -> (Vec<u64>, Vec<EpochRecord>) {
    let source = common::ids(1, 40);
    let mut model = build(&description(&source, "top-k"), 9);
    let options = TrainOptions { epochs: 5, ..options(1) };
    let history = continue_training(&mut model, state, &source, &source, &options, dir).unwrap();
    (common::bits(&model), timeless(&history.epochs))
}

/// Ways in which a file is damaged.
const DAMAGES: [fn(&Path); 3] = [
    |file| fs::remove_file(file).unwrap(),
    |file| fs::write(file, &fs::read(file).unwrap()[1..]).unwrap(),
    |file| {
        let mut content = fs::read(file).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(file, content).unwrap();
    },
];

#[test]
fn a_damaged_checkpoint_is_replaced_by_the_one_before() {
    let (place, path, _) = run(3);
    let of_last = |name: &String| name.contains("-3") || *name == "manifest.json";
    let of_last: Vec<String> = names(&path).into_iter().filter(of_last).collect();
    let roles = ["best-3", "last-3", "manifest", "moments-3", "state-3"];
    assert!(of_last.iter().zip(roles).all(|(name, role)| name.starts_with(role)), "{of_last:?}");
    assert_eq!(of_last.len(), roles.len());
    let undisturbed = place.path().join("undisturbed");
    copy(&path, &undisturbed);
    let (mut dir, state) = RunDir::open(&undisturbed).unwrap();
    let wanted = go_on(&mut dir, state);
    for name in &of_last {
        for damage in DAMAGES {
            let copied = tempfile::tempdir_in(place.path()).unwrap();
            copy(&path, copied.path());
            damage(&copied.path().join(name));

            let before = names(copied.path());
            let (saved, warnings) = warned(|| SavedModel::open(copied.path()).unwrap());
            assert_eq!(names(copied.path()), before, "{name}: a reader changes nothing");
            let is_read = ["best-3.safetensors", "manifest.json"].contains(&name.as_str());
            assert_eq!((saved.epoch(), warnings.len()), if is_read { (2, 1) } else { (3, 0) });

            let ((mut dir, state), warnings) = warned(|| RunDir::open(copied.path()).unwrap());
            let [warning] = &warnings[..] else { panic!("{name}: {warnings:?}") };
            let says = "; the checkpoint before it is used, which has 2 epochs";
            assert!(warning.contains(name.as_str()) || name == "manifest.json", "{warning}");
            assert!(warning.ends_with(says), "{warning}");
            assert_eq!(state.history().epochs.len(), 2);
            assert!(go_on(&mut dir, state) == wanted, "{name}");
        }
    }
}

#[test]
fn a_run_without_any_whole_checkpoint_names_the_file_of_the_last_one() {
    let (_place, path, _) = run(3);
    for name in ["last-3.safetensors", "last-2.safetensors"] {
        fs::write(path.join(name), "").unwrap();
    }
    let before = names(&path);
    let (error, warnings) = warned(|| RunDir::open(&path).unwrap_err().to_string());
    assert!(error.contains("last-3.safetensors: should have"), "{error}");
    assert!(warnings.is_empty(), "{warnings:?}");
    let kept = names(&path).into_iter().filter(|name| name != "moe.lock");
    assert_eq!(kept.collect::<Vec<_>>(), before, "nothing is removed");
}

/// The log hides neither weights nor state.
#[test]
fn a_damaged_log_is_written_again() {
    let (place, path, _) = run_folded(3, true);
    let log = fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    for (i, damage) in DAMAGES.into_iter().enumerate() {
        let copied = tempfile::tempdir_in(place.path()).unwrap();
        copy(&path, copied.path());
        let file = copied.path().join("metrics.jsonl");
        damage(&file);
        let (_, warnings) = warned(|| SavedModel::open(copied.path()).unwrap());
        assert!(warnings.is_empty(), "{warnings:?}");

        let ((mut dir, state), warnings) = warned(|| RunDir::open(copied.path()).unwrap());
        assert_eq!(state.history().epochs.len(), 3);
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        let says = "the file is written again from the state of the run";
        assert!(warning.contains("metrics.jsonl") && warning.ends_with(says), "{warning}");
        assert_eq!(fs::read_to_string(&file).unwrap(), log);

        // Also while the run is in training.
        damage(&file);
        let (_, warnings) = warned(|| go_on(&mut dir, state));
        assert!(warnings.iter().any(|warning| warning.ends_with(says)), "{i}: {warnings:?}");
        let lines = fs::read_to_string(&file).unwrap();
        assert!(lines.starts_with(&log) && lines.lines().count() == 5, "{lines}");
        drop(dir);
        let (_, warnings) = warned(|| RunDir::open(copied.path()).unwrap());
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}
