//! Directories of training runs: see [`RunDir`].

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use moe_core::lock_file::LockFile;

use crate::error::RunDirError;
use crate::models::description::{Fold, ModelDescription};
use crate::models::registry::Models;
use crate::store::checkpoint;
use crate::store::generations::read_last;
use crate::store::run_files::RunFiles;
use crate::store::run_lock::{self, LOCK};
use crate::store::run_manifest::{
    CARD, CONFIG, FEATURES, FORMAT, FileEntry, Files, MANIFEST, METRICS, Manifest, PREVIOUS,
    RESULT, RunModels, is_own, is_trace_of_training, name_at_rest, sha256,
};
use crate::store::saved_model::described;
use crate::train::history::EpochRecord;
use crate::train::observer::Observer;
use crate::train::train_state::TrainState;

/// A directory with a saved training run, which can be interrupted at any moment and continued to the same bits.
///
/// | file | contents |
/// | --- | --- |
/// | `config.resolved.toml` | the configuration, if there is one |
/// | `features.json` | the schema that turns raw rows into inputs, if it is known |
/// | `metrics.jsonl` | an [`EpochRecord`] per line and epoch, a log that is written again if it is damaged |
/// | `last.safetensors`, `best.safetensors` | the weights after the last step and after the best epoch; the best weights are folded if the model can be ([`RunInfo::fold`]) |
/// | `learning.safetensors` | the tensors that folding left out of the best weights |
/// | `moments.safetensors` | the optimiser's moments: `NAME.first_moment` and `NAME.second_moment` of each parameter |
/// | `model.md` | the model card, if there is one ([`RunDir::set_card`]) |
/// | `result.json` | the results, if there are any ([`RunDir::set_result`]) |
/// | `state` | settings and steps of the optimiser, history, names of frozen parameters and the last experts of each row (see [`moe_core::envelope`]) |
/// | `manifest.json` | the files of the run with their SHA-256 and its own, the length of `metrics.jsonl`, the model |
/// | `manifest.previous.json` | the same for the checkpoint before, until the run is finished |
///
/// A checkpoint is written under new names (`last-12.safetensors`), synced, read again, and becomes valid when the new
/// manifest replaces the old one. The checkpoint before it is kept until the next one is valid. Where a file of the last
/// checkpoint is damaged, it is used instead, with a warning in the log. [`RunDir::finish`] renames the files to the names
/// above.
///
/// One process at a time writes into the directory: [`RunDir::create`] and [`RunDir::open`] lock it (file `moe.lock`) until
/// the `RunDir` is dropped or the process ends. A [`SavedModel`](crate::SavedModel) is read without a lock.
///
/// As an [`Observer`] it saves a checkpoint after every epoch, and inside an epoch where another observer asks for one
/// ([`TrainControl`](crate::TrainControl)):
/// ```
/// # use moe_nn::*;
/// # fn example(
/// #     model: &mut dyn Model, data: &dyn moe_core::batch::BatchSource, options: &TrainOptions,
/// #     path: &std::path::Path,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// let (mut dir, state) = if RunDir::is_run(path) {
///     RunDir::open(path)?
/// } else {
///     let state = TrainState::new(model, options.optimizer.clone());
///     (RunDir::create(path, RunInfo::default(), &state)?, state)
/// };
/// continue_training(model, state, data, data, options, &mut dir)?;
/// dir.finish()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RunDir {
    files: RunFiles,
    manifest: Manifest,
    previous: Option<Manifest>,
    /// None where nothing can be written.
    _lock: Option<LockFile>,
}

/// Information about a run that is not produced by training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunInfo {
    /// Text of the configuration, saved as `config.resolved.toml`.
    pub config: Option<String>,
    /// Schema that turns rows of the original data into inputs of the model, as JSON, saved as `features.json`.
    pub features: Option<String>,
    /// Description of the model as JSON: [`to_json`](ModelDescription#method.to_json) of a [`ModelDescription`].
    pub model: serde_json::Value,
    /// The model of the saved best weights if it differs: one without the state that only training needs.
    pub fold: Option<Fold>,
    /// Seed of initial weights, shuffles and random draws.
    pub seed: u64,
}

impl RunDir {
    /// Returns whether `path` is the directory of a run.
    pub fn is_run(path: &Path) -> bool {
        [MANIFEST, PREVIOUS].iter().any(|name| path.join(name).is_file())
    }

    /// Creates a run in a directory that is new or empty, and saves `state` as its first checkpoint. Files that an
    /// interrupted `create` left are overwritten.
    ///
    /// # Errors
    /// If there are other files in the directory, among them checkpoints of a run that has lost its manifest, another process
    /// trains in it, or it cannot be written.
    pub fn create(path: &Path, info: RunInfo, state: &TrainState) -> Result<Self, RunDirError> {
        fs::create_dir_all(path).map_err(|source| RunDirError::Io { path: path.into(), source })?;
        let lock = run_lock::acquire(path)?;
        let files = RunFiles::new(path);
        for found in files.names()?.into_iter().filter(|name| name != LOCK) {
            let name = found.to_string_lossy();
            let file = fs::symlink_metadata(files.path(&name)).ok();
            // Before there is a manifest, a run has neither a card nor results: these files are somebody else's.
            let is_foreign = [MANIFEST, PREVIOUS, CARD, RESULT].contains(&&*name) || !is_own(&name);
            if is_foreign || !file.as_ref().is_some_and(fs::Metadata::is_file) {
                return Err(RunDirError::NotEmpty { path: path.into(), found });
            }
            if is_trace_of_training(&name, file.map_or(0, |file| file.len())) {
                return Err(RunDirError::LostManifest { path: path.into(), found });
            }
        }
        let RunInfo { config, features, model, fold, seed } = info;
        let (best, folded) = match fold {
            Some(Fold { model, dropped }) => (model.to_json(), dropped),
            None => (model.clone(), Vec::new()),
        };
        let save = |name: &str, text: Option<String>| {
            text.map(|text| files.write(name.into(), text.as_bytes())).transpose()
        };
        let manifest = Manifest {
            format: FORMAT,
            seed,
            instruction_set: moe_core::kernel::instruction_set().into(),
            models: RunModels { last: model, best, folded },
            files: Files {
                config: save(CONFIG, config)?,
                features: save(FEATURES, features)?,
                metrics: files.write(METRICS.into(), b"")?,
                ..Files::default()
            },
            ..Manifest::default()
        };
        let mut dir = RunDir { files, manifest, previous: None, _lock: Some(lock) };
        dir.commit(state)?;
        Ok(dir)
    }

    /// Opens the run in `path` to continue it, and returns its state. Every file is checked against the manifest; files of
    /// a checkpoint that did not become valid are removed. Where nothing can be written, the run can still be read.
    ///
    /// # Errors
    /// If `path` is not the directory of a run of this or an earlier version and of this precision, a file is missing or
    /// changed, or another process trains in the directory.
    pub fn open(path: &Path) -> Result<(Self, TrainState), RunDirError> {
        let files = RunFiles::new(path);
        // Nothing is written into a directory that is not that of a run.
        if !Self::is_run(path) {
            files.manifest(MANIFEST)?;
        }
        let lock = match run_lock::acquire(path) {
            Err(RunDirError::Io { source, .. }) if is_read_only(&source) => None,
            lock => Some(lock?),
        };
        let (manifest, state) = read_last(&files, |manifest| checkpoint::read(&files, manifest))?;
        let previous = files.manifest(PREVIOUS).ok();
        let previous = previous.filter(|previous| previous.generation < manifest.generation);
        let mut dir = RunDir { files, manifest, previous, _lock: lock };
        if dir._lock.is_some() {
            dir.tidy(&state)?;
        }
        Ok((dir, state))
    }

    /// Makes the directory that of the checkpoint which was read.
    fn tidy(&mut self, state: &TrainState) -> Result<(), RunDirError> {
        // Lines after the checkpoint belong to epochs that will be trained again.
        let (log, epochs) = (&self.manifest.files.metrics, &state.history().epochs);
        let metrics = self.files.write_log(log, epochs, epochs.len())?;
        let next = Manifest {
            files: Files { metrics, ..self.manifest.files.clone() },
            ..self.manifest.clone()
        };
        if next != self.manifest || !self.files.manifest(MANIFEST).is_ok_and(|last| last == next) {
            self.files.set_manifest(&next)?;
        }
        self.manifest = next;
        self.remove_stale()
    }

    /// Description of the model in training; see [`RunInfo::model`].
    ///
    /// # Errors
    /// If it is not the description of one of `models`.
    pub fn model(&self, models: &Models) -> Result<Arc<dyn ModelDescription>, RunDirError> {
        described(&self.files, &self.manifest.models.last, models)
    }

    /// The seed that the run was created with ([`RunInfo::seed`]).
    pub fn seed(&self) -> u64 {
        self.manifest.seed
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        &self.files.dir
    }

    /// The configuration that the run was created with ([`RunInfo::config`]).
    ///
    /// # Errors
    /// If the file has been changed since.
    pub fn config(&self) -> Result<Option<String>, RunDirError> {
        self.files.read_text(&self.manifest.files.config)
    }

    /// Saves `state` as the checkpoint of the run, in place of the previous one.
    ///
    /// # Errors
    /// If a file cannot be written; the previous checkpoint is then intact.
    pub fn commit(&mut self, state: &TrainState) -> Result<(), RunDirError> {
        let next = checkpoint::write(&self.files, &self.manifest, state)?;
        self.files.set_manifest(&next)?;
        let before = std::mem::replace(&mut self.manifest, next);
        if before.generation < self.manifest.generation {
            // Until this has happened, the checkpoint before that one is the previous one.
            self.files.set_previous(&before)?;
            self.previous = Some(before.without_texts());
        }
        self.remove_stale()
    }

    /// Saves a model card, in Markdown, as `model.md`. The next checkpoint removes it.
    ///
    /// # Errors
    /// If a file cannot be written; the run is then intact, with the previous card or without one.
    pub fn set_card(&mut self, text: &str) -> Result<(), RunDirError> {
        self.set_text(CARD, |files| &mut files.card, text)
    }

    /// Saves the results, as JSON, as `result.json`. The next checkpoint removes them.
    ///
    /// # Errors
    /// As [`RunDir::set_card`].
    pub fn set_result(&mut self, json: &str) -> Result<(), RunDirError> {
        self.set_text(RESULT, |files| &mut files.result, json)
    }

    fn set_text(
        &mut self,
        name: &str,
        entry: fn(&mut Files) -> &mut Option<FileEntry>,
        text: &str,
    ) -> Result<(), RunDirError> {
        let mut next = self.manifest.clone();
        let found = entry(&mut next.files).take();
        if found.as_ref().is_some_and(|found| found.sha256 == sha256(text.as_bytes())) {
            return Ok(());
        }
        // A file that the manifest names must not be overwritten.
        if found.is_some() {
            self.set_manifest(next.clone())?;
        }
        *entry(&mut next.files) = Some(self.files.write(name.into(), text.as_bytes())?);
        self.set_manifest(next)
    }

    /// Gives the files of the last checkpoint their final names, and removes the checkpoint before.
    ///
    /// # Errors
    /// If a file cannot be written; the run is then unchanged.
    pub fn finish(&mut self) -> Result<(), RunDirError> {
        let mut next = self.manifest.clone();
        for entry in next.files.numbered_mut() {
            let name = name_at_rest(&entry.name);
            if entry.name != name {
                *entry = self.files.write(name, &self.files.read(entry)?)?;
            }
        }
        let previous = self.previous.take();
        if next == self.manifest && previous.is_none() {
            return Ok(());
        }
        self.set_manifest(next)
    }

    /// Makes `next` the manifest of the run, and removes files that neither it nor that of the checkpoint before names.
    fn set_manifest(&mut self, next: Manifest) -> Result<(), RunDirError> {
        self.files.set_manifest(&next)?;
        self.manifest = next;
        self.remove_stale()
    }

    fn remove_stale(&self) -> Result<(), RunDirError> {
        self.files.remove_stale([Some(&self.manifest), self.previous.as_ref()])
    }
}

/// Returns whether an error is due to a place where this process may not write.
fn is_read_only(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
}

/// Saves a checkpoint after every epoch, and between two steps where an observer asks for it.
impl Observer for RunDir {
    fn on_checkpoint(&mut self, state: &TrainState) -> Result<(), String> {
        self.commit(state).map_err(|error| error.to_string())
    }

    fn on_epoch(&mut self, _record: &EpochRecord, state: &TrainState) -> Result<(), String> {
        self.commit(state).map_err(|error| error.to_string())
    }
}
