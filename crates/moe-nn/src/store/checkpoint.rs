//! A checkpoint of training: its files in a run directory, and the state that they hold.

use moe_core::envelope::{self, EnvelopeError, EnvelopeProblem, Kind};
use serde::{Deserialize, Serialize};

use crate::error::{RunDirError, WeightsError};
use crate::optimizer::optimizer::Optimizer;
use crate::store::format_1;
use crate::store::run_files::RunFiles;
use crate::store::run_manifest::{FORMAT, FileEntry, Manifest, STATE};
use crate::train::epoch_progress::EpochProgress;
use crate::train::history::History;
use crate::train::memories::Memories;
use crate::train::train_state::TrainState;

/// The kind of the file `state` in runs of the present format.
const STATE_KIND: Kind = Kind { name: "train-state", version: 5 };

/// Content of the file `state`: the part of a [`TrainState`] that is not tensors.
#[derive(Serialize)]
struct Saved<'a> {
    /// Without its moments.
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

/// Reads the file `state` of the checkpoint of `manifest`.
fn read_state(files: &RunFiles, manifest: &Manifest) -> Result<Opened, RunDirError> {
    let entry = &manifest.files.state;
    let path = files.path(&entry.name);
    let opened = open_state(manifest.format, &files.read(entry)?)
        .map_err(|problem| EnvelopeError { path: path.clone(), problem })?;
    let (epochs, best) = (opened.history.epochs.len(), opened.history.best_epoch);
    if (epochs, best) != (manifest.epochs, manifest.best_epoch) {
        let problem = format!(
            "is not that of the manifest: it has {epochs} epochs, the best is {best}; the manifest says {} and {}",
            manifest.epochs, manifest.best_epoch
        );
        return Err(RunDirError::Damaged { path, problem });
    }
    let mut checked = opened.history.check();
    if let Some(progress) = &opened.in_progress {
        checked = checked.and_then(|()| progress.check());
    }
    checked.map_err(|problem| RunDirError::Damaged { path, problem })?;
    Ok(opened)
}

/// Reads the history of the checkpoint of `manifest`.
pub(crate) fn read_history(files: &RunFiles, manifest: &Manifest) -> Result<History, RunDirError> {
    Ok(read_state(files, manifest)?.history)
}

/// Reads the checkpoint of `manifest`. All files of the run are checked, except for the log.
pub(crate) fn read(files: &RunFiles, manifest: &Manifest) -> Result<TrainState, RunDirError> {
    let entries = &manifest.files;
    for entry in [&entries.config, &entries.features, &entries.card, &entries.result] {
        files.read_text(entry)?;
    }
    let opened = read_state(files, manifest)?;
    let (last, mut best) = (files.read_tensors(&entries.last)?, files.read_tensors(&entries.best)?);
    let in_file = |entries: &[FileEntry]| {
        let path = files.path(entries.first().map_or("", |entry| &entry.name));
        |source| WeightsError::Tensor { path, source }
    };
    let learning = files.read_tensors(&entries.learning)?;
    best.extend(learning).map_err(in_file(&entries.learning))?;
    let moments = files.read_tensors(&entries.moments)?;
    let Opened { optimizer, history, frozen, memories, in_progress } = opened;
    let optimizer = Optimizer::of_parts(moments, optimizer).map_err(in_file(&entries.moments))?;
    Ok(TrainState { optimizer, last, best, frozen, memories, history, in_progress })
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
    let is_first = before.files.last.is_empty();
    next.generation += u64::from(!is_first);
    let tensors_name = |role| format!("{role}-{}.safetensors", next.generation);
    (next.files.card, next.files.result) = (None, None);
    next.files.last = files.write_tensors(tensors_name("last"), last)?;
    if is_first || history.best_epoch != before.best_epoch {
        let mut best = best.clone();
        let learning = best.split_off(&next.models.folded);
        next.files.best = files.write_tensors(tensors_name("best"), &best)?;
        if !next.models.folded.is_empty() {
            next.files.learning = files.write_tensors(tensors_name("learning"), &learning)?;
        }
    }
    let (moments, optimizer) = optimizer.parts();
    next.files.moments = match moments.iter().next() {
        Some(_) => files.write_tensors(tensors_name("moments"), &moments)?,
        None => Vec::new(),
    };
    let name = format!("{STATE}-{}", next.generation);
    let saved = Saved { optimizer: &optimizer, history, frozen, memories, in_progress };
    let saved = envelope::seal(STATE_KIND, &saved)
        .map_err(|problem| EnvelopeError { path: files.path(&name), problem })?;
    next.files.state = files.write(name, &saved)?;
    next.files.metrics = files.write_log(&before.files.metrics, &history.epochs, before.epochs)?;
    (next.epochs, next.best_epoch) = (history.epochs.len(), history.best_epoch);
    Ok(next)
}
