//! A checkpoint of training: its files in a run directory, and the state that they hold.

use moe_core::envelope::{self, EnvelopeError, EnvelopeProblem, Kind};
use serde::{Deserialize, Serialize};

use crate::error::RunDirError;
use crate::optimizer::optimizer::Optimizer;
use crate::store::format_1;
use crate::store::run_files::RunFiles;
use crate::store::run_manifest::{FORMAT, FileEntry, Manifest};
use crate::store::weights::Weights;
use crate::train::epoch_progress::EpochProgress;
use crate::train::history::History;
use crate::train::memories::Memories;
use crate::train::train_state::TrainState;

/// The kind of the file `state` in runs of the present format.
const STATE_KIND: Kind = Kind { name: "train-state", version: 5 };

/// Content of the file `state`: the part of a [`TrainState`] that is not weights.
#[derive(Serialize)]
struct Saved<'a> {
    optimizer: &'a Optimizer,
    history: &'a History,
    frozen: &'a [String],
    memories: &'a Memories,
    in_progress: &'a Option<EpochProgress>,
}

/// [`Saved`], read.
#[derive(Deserialize)]
struct Opened {
    optimizer: Optimizer,
    history: History,
    frozen: Vec<String>,
    memories: Memories,
    in_progress: Option<EpochProgress>,
}

/// Decodes the file `state` of a run of this format.
fn open_state(format: u32, file: &[u8]) -> Result<Opened, EnvelopeProblem> {
    if format > 1 {
        return envelope::open(STATE_KIND, file);
    }
    let state: format_1::State = envelope::open(format_1::STATE_KIND, file)?;
    Ok(Opened {
        optimizer: state.optimizer.into(),
        history: state.history.into(),
        frozen: state.frozen,
        memories: state.memories.into(),
        in_progress: None,
    })
}

/// Reads the checkpoint of `manifest`, and `metrics.jsonl` with it. All files of the run are checked.
pub(crate) fn read(
    files: &RunFiles,
    manifest: &Manifest,
) -> Result<(TrainState, Vec<u8>), RunDirError> {
    let entries = &manifest.files;
    let texts = [&entries.config, &entries.features, &entries.card, &entries.result];
    for entry in texts.into_iter().flatten() {
        files.read(entry)?;
    }
    let metrics = files.read(&entries.metrics)?;
    let weights = |entry: &FileEntry| -> Result<Weights, RunDirError> {
        Ok(Weights::from_file(&files.path(&entry.name), &files.read(entry)?)?)
    };
    let (last, mut best) = (weights(&entries.last)?, weights(&entries.best)?);
    if let Some(entry) = &entries.learning {
        best.extend(weights(entry)?);
    }
    let opened = open_state(manifest.format, &files.read(&entries.state)?)
        .map_err(|problem| EnvelopeError { path: files.path(&entries.state.name), problem })?;
    let Opened { optimizer, history, frozen, memories, in_progress } = opened;
    Ok((TrainState { optimizer, last, best, frozen, memories, history, in_progress }, metrics))
}

/// Writes `state` under names that `before` does not use, and returns the manifest that names them. Until that manifest is
/// set, the checkpoint of `before` is the one of the run.
pub(crate) fn write(
    files: &RunFiles,
    before: &Manifest,
    state: &TrainState,
) -> Result<Manifest, RunDirError> {
    let TrainState { optimizer, last, best, frozen, memories, history, in_progress } = state;
    let mut next = Manifest { format: FORMAT, ..before.clone() };
    let is_first = before.files.last.name.is_empty();
    next.generation += u64::from(!is_first);
    let n = next.generation;
    (next.files.card, next.files.result) = (None, None);
    next.files.last = files.write(format!("last-{n}.safetensors"), &last.to_file())?;
    if is_first || history.best_epoch != before.best_epoch {
        let mut best = best.clone();
        let learning = best.split_off(&next.models.folded);
        next.files.best = files.write(format!("best-{n}.safetensors"), &best.to_file())?;
        if !next.models.folded.is_empty() {
            let name = format!("learning-{n}.safetensors");
            next.files.learning = Some(files.write(name, &learning.to_file())?);
        }
    }
    let saved = Saved { optimizer, history, frozen, memories, in_progress };
    let name = format!("state-{n}");
    let saved = envelope::seal(STATE_KIND, &saved)
        .map_err(|problem| EnvelopeError { path: files.path(&name), problem })?;
    next.files.state = files.write(name, &saved)?;
    let new_epochs = history.epochs.get(before.epochs..).unwrap_or_default();
    let lines = files.read(&before.files.metrics)?;
    next.files.metrics = files.set_metrics(lines, new_epochs)?;
    (next.epochs, next.best_epoch) = (history.epochs.len(), history.best_epoch);
    Ok(next)
}
