//! Directories of training runs: see [`RunDir`].

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::error::RunDirError;
use crate::models::description::{Fold, ModelDescription};
use crate::models::registry::Models;
use crate::store::checkpoint;
use crate::store::run_files::RunFiles;
use crate::store::run_lock::{LOCK, RunLock};
use crate::store::run_manifest::{
    CARD, CONFIG, FEATURES, FORMAT, FileEntry, Files, MANIFEST, METRICS, Manifest, RESULT,
    RunModels, is_own, is_trace_of_training, sha256,
};
use crate::store::weights::Weights;
use crate::train::history::EpochRecord;
use crate::train::observer::Observer;
use crate::train::train_state::TrainState;

/// A directory with a saved training run, which can be interrupted at any moment and continued to the same bits.
///
/// | file | contents |
/// | --- | --- |
/// | `config.resolved.toml` | the configuration, if there is one |
/// | `features.json` | the schema that turns raw rows into inputs, if it is known |
/// | `metrics.jsonl` | an [`EpochRecord`] per line and epoch |
/// | `last.safetensors`, `best.safetensors` | the weights after the last step and after the best epoch; the best weights are folded if the model can be ([`RunInfo::fold`]) |
/// | `learning.safetensors` | the tensors that folding left out of the best weights |
/// | `model.md` | the model card, if there is one ([`RunDir::set_card`]) |
/// | `result.json` | the results, if there are any ([`RunDir::set_result`]) |
/// | `state` | optimiser, history, names of frozen parameters and the last experts of each row (see [`moe_core::envelope`]) |
/// | `manifest.json` | the files of the run with their SHA-256 and its own, the length of `metrics.jsonl`, the model |
///
/// A checkpoint is written under new names (`last-12.safetensors`), synced, and becomes valid when the new manifest
/// replaces the old one. Until then the previous checkpoint is intact. [`RunDir::finish`] renames the files to the names
/// above.
///
/// One process at a time writes into the directory: [`RunDir::create`] and [`RunDir::open`] lock it (file `moe.lock`) until
/// the `RunDir` is dropped or the process ends. [`RunDir::open_to_read`] needs no lock.
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
    /// None if the run was opened to read it.
    _lock: Option<RunLock>,
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
        path.join(MANIFEST).is_file()
    }

    /// Creates a run in a directory that is new or empty, and saves `state` as its first checkpoint. Files that an
    /// interrupted `create` left are overwritten.
    ///
    /// # Errors
    /// If there are other files in the directory, among them checkpoints of a run that has lost its manifest, another process
    /// trains in it, or it cannot be written.
    pub fn create(path: &Path, info: RunInfo, state: &TrainState) -> Result<Self, RunDirError> {
        fs::create_dir_all(path).map_err(|source| RunDirError::Io { path: path.into(), source })?;
        let lock = RunLock::acquire(path)?;
        let files = RunFiles::new(path);
        for name in files.names()?.into_iter().filter(|name| name != LOCK) {
            // Before there is a manifest, a run has neither a card nor results: these files are somebody else's.
            if [MANIFEST, CARD, RESULT].iter().any(|own| name == *own)
                || !is_own(&name.to_string_lossy())
            {
                return Err(RunDirError::NotEmpty { path: path.into(), found: name });
            }
            let length = fs::symlink_metadata(files.path(&name.to_string_lossy()));
            if is_trace_of_training(&name.to_string_lossy(), length.map_or(0, |file| file.len())) {
                return Err(RunDirError::LostManifest { path: path.into(), found: name });
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
        let mut dir = RunDir { files, manifest, _lock: Some(lock) };
        dir.commit(state)?;
        Ok(dir)
    }

    /// Opens the run in `path` to continue it, and returns its state. Every file is checked against the manifest; files of
    /// a checkpoint that did not become valid are removed.
    ///
    /// # Errors
    /// If `path` is not the directory of a run of this or an earlier version and of this precision, a file is missing or
    /// changed, or another process trains in the directory.
    pub fn open(path: &Path) -> Result<(Self, TrainState), RunDirError> {
        let files = RunFiles::new(path);
        // Nothing is written into a directory that is not that of a run.
        files.manifest()?;
        let lock = RunLock::acquire(path)?;
        let manifest = files.manifest()?;
        let (state, metrics) = checkpoint::read(&files, &manifest)?;
        // Lines after the checkpoint belong to epochs that will be trained again.
        files.set_metrics(metrics, &[])?;
        files.remove_stale(&manifest)?;
        Ok((RunDir { files, manifest, _lock: Some(lock) }, state))
    }

    /// Opens the run in `path` to read it: as [`RunDir::open`], but the directory is neither locked nor changed.
    ///
    /// # Errors
    /// As `open`, whoever trains. A run in training is read as its last checkpoint left it.
    pub fn open_to_read(path: &Path) -> Result<(Self, TrainState), RunDirError> {
        /// Each further attempt follows another checkpoint of a run in training.
        const MOST_ATTEMPTS: usize = 100;
        let files = RunFiles::new(path);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let manifest = files.manifest()?;
            match checkpoint::read(&files, &manifest) {
                Ok((state, _)) => return Ok((RunDir { files, manifest, _lock: None }, state)),
                // Training may have replaced the files since the manifest was read.
                Err(_) if attempts < MOST_ATTEMPTS && files.manifest()? != manifest => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The best weights of `state`, which must be a state of this run, as they are saved: those of
    /// [`RunDir::best_model`].
    pub fn best_weights(&self, state: &TrainState) -> Weights {
        let mut best = state.best().clone();
        best.split_off(&self.manifest.models.folded);
        best
    }

    /// Description of the model of the best weights; see [`RunInfo::model`] and [`RunInfo::fold`].
    ///
    /// # Errors
    /// If it is not the description of one of `models`.
    pub fn best_model(&self, models: &Models) -> Result<Arc<dyn ModelDescription>, RunDirError> {
        models.read(&self.manifest.models.best).map_err(|error| RunDirError::Damaged {
            path: self.files.path(MANIFEST),
            problem: format!("does not describe a model: {error}"),
        })
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
        self.text(&self.manifest.files.config)
    }

    /// The schema that the run was created with ([`RunInfo::features`]).
    ///
    /// # Errors
    /// If the file has been changed since.
    pub fn features(&self) -> Result<Option<String>, RunDirError> {
        self.text(&self.manifest.files.features)
    }

    fn text(&self, entry: &Option<FileEntry>) -> Result<Option<String>, RunDirError> {
        let Some(entry) = entry else { return Ok(None) };
        let bytes = self.files.read(entry)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Saves `state` as the checkpoint of the run, in place of the previous one.
    ///
    /// # Errors
    /// If a file cannot be written; the previous checkpoint is then intact.
    pub fn commit(&mut self, state: &TrainState) -> Result<(), RunDirError> {
        let next = checkpoint::write(&self.files, &self.manifest, state)?;
        self.set_manifest(next)
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

    /// Gives the files of the last checkpoint their final names.
    ///
    /// # Errors
    /// If a file cannot be written; the run is then unchanged.
    pub fn finish(&mut self) -> Result<(), RunDirError> {
        let mut next = self.manifest.clone();
        let Files { last, best, learning, state, .. } = &mut next.files;
        let learning = learning.as_mut().map(|entry| (entry, "learning.safetensors"));
        let entries = [(last, "last.safetensors"), (best, "best.safetensors"), (state, "state")];
        for (entry, name) in entries.into_iter().chain(learning) {
            if entry.name != name {
                *entry = self.files.write(name.into(), &self.files.read(entry)?)?;
            }
        }
        self.set_manifest(next)
    }

    /// Makes `next` the manifest of the run, and removes files that it does not name.
    fn set_manifest(&mut self, next: Manifest) -> Result<(), RunDirError> {
        self.files.set_manifest(&next)?;
        self.manifest = next;
        self.files.remove_stale(&self.manifest)
    }
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
