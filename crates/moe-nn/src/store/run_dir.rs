//! A directory that keeps a training run: see [`RunDir`].

use std::borrow::Cow;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use moe_core::envelope::{self, EnvelopeError, Kind};
use moe_core::files::{replace_file, write_synced};
use moe_routers::telemetry::Consistency;
use serde::{Deserialize, Serialize};

use crate::error::RunDirError;
use crate::models::model_description::{Fold, ModelDescription};
use crate::optimizer::Optimizer;
use crate::store::run_manifest::{
    CARD, CONFIG, FEATURES, FORMAT, FileEntry, Files, MANIFEST, METRICS, Manifest, Models, RESULT,
    is_own, sha256,
};
use crate::store::weights::Weights;
use crate::train::history::{EpochRecord, History};
use crate::train::train_state::TrainState;
use crate::train::trainer::Observer;

const STATE_KIND: Kind = Kind { name: "train-state", version: 3 };

/// A directory that keeps a training run, so that it can be interrupted at any moment and continued to the same bits.
///
/// | file | holds |
/// | --- | --- |
/// | `config.resolved.toml` | the configuration, if there is one |
/// | `features.json` | how raw rows become inputs, if that is known |
/// | `metrics.jsonl` | an [`EpochRecord`] per line and epoch |
/// | `last.safetensors`, `best.safetensors` | the weights after the last and after the best epoch; the best are folded if the model can be ([`RunInfo::fold`]) |
/// | `learning.safetensors` | what folding has left out of the best weights |
/// | `model.md` | what to know of the trained model, if that has been said ([`RunDir::set_card`]) |
/// | `result.json` | what came out, if that has been said ([`RunDir::set_result`]) |
/// | `state` | optimiser, history, what is frozen and where rows went (see [`moe_core::envelope`]) |
/// | `manifest.json` | which files are the run's, with their SHA-256 and its own; how long `metrics.jsonl` is; the model |
///
/// A checkpoint is written under new names (`last-12.safetensors`), synced, and comes to be when the new manifest takes
/// the place of the old one. Until then the earlier checkpoint is whole. [`RunDir::finish`] gives the files the names
/// above.
///
/// As an [`Observer`] it keeps a checkpoint after every epoch:
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
    path: PathBuf,
    manifest: Manifest,
}

/// What a run directory says of its run besides what training makes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunInfo {
    /// Text of the configuration, kept as `config.resolved.toml`.
    pub config: Option<String>,
    /// How rows of the original data become inputs of the model, as JSON, kept as `features.json`.
    pub features: Option<String>,
    /// Description of the model, such as a [`ModelDescription`](crate::ModelDescription) as JSON.
    pub model: serde_json::Value,
    /// The model that the best weights are kept for, if not the same: one without what only training needs.
    pub fold: Option<Fold>,
    /// Seed of initial weights, shuffles and draws.
    pub seed: u64,
}

/// What `state` holds.
#[derive(Serialize, Deserialize)]
struct Saved<'a> {
    optimizer: Cow<'a, Optimizer>,
    history: Cow<'a, History>,
    frozen: Cow<'a, [String]>,
    memories: Cow<'a, [Consistency]>,
}

impl RunDir {
    /// Whether `path` is the directory of a run.
    pub fn is_run(path: &Path) -> bool {
        path.join(MANIFEST).is_file()
    }

    /// Begins a run in a directory that is new or empty, and keeps `state` there. What an interrupted `create` left is
    /// written over.
    ///
    /// # Errors
    /// If there is anything else in the directory, or it cannot be written.
    pub fn create(path: &Path, info: RunInfo, state: &TrainState) -> Result<Self, RunDirError> {
        let io = |source| RunDirError::Io { path: path.into(), source };
        fs::create_dir_all(path).map_err(io)?;
        for entry in fs::read_dir(path).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            // There is no card or result before there is a manifest: this one is somebody else's.
            if [MANIFEST, CARD, RESULT].iter().any(|own| name == *own)
                || !is_own(&name.to_string_lossy())
            {
                return Err(RunDirError::NotEmpty { path: path.into(), found: name });
            }
        }
        let RunInfo { config, features, model, fold, seed } = info;
        let (best, folded) = match fold {
            Some(Fold { model, dropped }) => {
                (serde_json::to_value(model).expect("a description has text keys"), dropped)
            }
            None => (model.clone(), Vec::new()),
        };
        let mut dir = RunDir {
            path: path.into(),
            manifest: Manifest {
                format: FORMAT,
                generation: 0,
                epochs: 0,
                best_epoch: 0,
                seed,
                instruction_set: moe_core::kernel::instruction_set().into(),
                models: Models { last: model, best, folded },
                files: Files::default(),
                sha256: String::new(),
            },
        };
        let keep = |name: &str, text: Option<String>| {
            text.map(|text| dir.write(name.into(), text.as_bytes())).transpose()
        };
        let (config, features) = (keep(CONFIG, config)?, keep(FEATURES, features)?);
        (dir.manifest.files.config, dir.manifest.files.features) = (config, features);
        dir.manifest.files.metrics = dir.write(METRICS.into(), b"")?;
        dir.commit(state)?;
        Ok(dir)
    }

    /// The run in `path`, and where it was, to be continued. Every file is checked against the manifest; what a
    /// checkpoint that did not come to be has left is removed.
    ///
    /// # Errors
    /// If it is not the directory of a run of this version and precision, or a file is missing or changed.
    pub fn open(path: &Path) -> Result<(Self, TrainState), RunDirError> {
        let dir = RunDir::at(path)?;
        let (state, metrics) = dir.content()?;
        // Lines after the checkpoint are of epochs that will be run again.
        dir.set_metrics(metrics, &[])?;
        dir.remove_stale()?;
        Ok((dir, state))
    }

    /// The run in `path`, and where it was, to be looked at: as [`RunDir::open`], but nothing in the directory is changed.
    ///
    /// # Errors
    /// As `open`; also where a run in progress has put another checkpoint in the place of the one being read.
    pub fn open_to_read(path: &Path) -> Result<(Self, TrainState), RunDirError> {
        let dir = RunDir::at(path)?;
        let (state, _) = dir.content()?;
        Ok((dir, state))
    }

    /// The run in `path`, of which the manifest has been read.
    fn at(path: &Path) -> Result<Self, RunDirError> {
        let file = path.join(MANIFEST);
        let damaged = |problem: String| RunDirError::Damaged { path: file.clone(), problem };
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return Err(damaged("is not a text".into()));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(RunDirError::NotARun { path: path.into(), missing: MANIFEST });
            }
            Err(source) => return Err(RunDirError::Io { path: file, source }),
        };
        Ok(RunDir { path: path.into(), manifest: Manifest::from_text(&text).map_err(damaged)? })
    }

    /// What its files hold, all of them checked: where the run was, and `metrics.jsonl`.
    fn content(&self) -> Result<(TrainState, Vec<u8>), RunDirError> {
        let files = &self.manifest.files;
        let texts = [&files.config, &files.features, &files.card, &files.result];
        for entry in texts.into_iter().flatten() {
            self.read_file(entry)?;
        }
        let metrics = self.read_file(&files.metrics)?;
        let weights = |entry: &FileEntry| -> Result<Weights, RunDirError> {
            Ok(Weights::from_file(&self.file(&entry.name), &self.read_file(entry)?)?)
        };
        let (last, mut best) = (weights(&files.last)?, weights(&files.best)?);
        if let Some(entry) = &files.learning {
            best.extend(weights(entry)?);
        }
        let state = self.file(&files.state.name);
        let saved: Saved<'_> = envelope::open(STATE_KIND, &self.read_file(&files.state)?)
            .map_err(|problem| EnvelopeError { path: state, problem })?;
        let state = TrainState {
            optimizer: saved.optimizer.into_owned(),
            last,
            best,
            frozen: saved.frozen.into_owned(),
            memories: saved.memories.into_owned(),
            history: saved.history.into_owned(),
        };
        Ok((state, metrics))
    }

    /// The best weights of `state`, which is this run's, as they are kept: those of [`RunDir::best_model`].
    pub fn best_weights(&self, state: &TrainState) -> Weights {
        let mut best = state.best().clone();
        best.split_off(&self.manifest.models.folded);
        best
    }

    /// Description of the model of the best weights; see [`RunInfo::model`] and [`RunInfo::fold`].
    ///
    /// # Errors
    /// If it is not a [`ModelDescription`].
    pub fn best_model(&self) -> Result<ModelDescription, RunDirError> {
        let model = &self.manifest.models.best;
        ModelDescription::deserialize(model).map_err(|error| RunDirError::Damaged {
            path: self.file(MANIFEST),
            problem: format!("does not describe a model: {error}"),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration that the run was created with.
    ///
    /// # Errors
    /// If the file has been changed since.
    pub fn config(&self) -> Result<Option<String>, RunDirError> {
        self.text(&self.manifest.files.config)
    }

    /// What the run was created with as [`RunInfo::features`].
    ///
    /// # Errors
    /// If the file has been changed since.
    pub fn features(&self) -> Result<Option<String>, RunDirError> {
        self.text(&self.manifest.files.features)
    }

    fn text(&self, entry: &Option<FileEntry>) -> Result<Option<String>, RunDirError> {
        let Some(entry) = entry else { return Ok(None) };
        let bytes = self.read_file(entry)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Keeps `state` in the place of the one before.
    ///
    /// # Errors
    /// If a file cannot be written; the state before is then still kept.
    pub fn commit(&mut self, state: &TrainState) -> Result<(), RunDirError> {
        let TrainState { last, best, history, .. } = state;
        let mut next = self.manifest.clone();
        let is_first = self.manifest.files.last.name.is_empty();
        next.generation += u64::from(!is_first);
        let n = next.generation;
        (next.files.card, next.files.result) = (None, None);
        next.files.last = self.write(format!("last-{n}.safetensors"), &last.to_file())?;
        if is_first || history.best_epoch != next.best_epoch {
            let mut best = best.clone();
            let learning = best.split_off(&next.models.folded);
            next.files.best = self.write(format!("best-{n}.safetensors"), &best.to_file())?;
            if !next.models.folded.is_empty() {
                let name = format!("learning-{n}.safetensors");
                next.files.learning = Some(self.write(name, &learning.to_file())?);
            }
        }
        let saved = Saved {
            optimizer: Cow::Borrowed(&state.optimizer),
            history: Cow::Borrowed(history),
            frozen: Cow::Borrowed(&state.frozen),
            memories: Cow::Borrowed(&state.memories),
        };
        let name = format!("state-{n}");
        let saved = envelope::seal(STATE_KIND, &saved)
            .map_err(|problem| EnvelopeError { path: self.file(&name), problem })?;
        next.files.state = self.write(name, &saved)?;
        let new_epochs = history.epochs.get(next.epochs..).unwrap_or_default();
        let lines = self.read_file(&self.manifest.files.metrics)?;
        next.files.metrics = self.set_metrics(lines, new_epochs)?;
        (next.epochs, next.best_epoch) = (history.epochs.len(), history.best_epoch);
        self.put_manifest(next)
    }

    /// Keeps a text about the model, in Markdown, as `model.md`, until the next checkpoint.
    ///
    /// # Errors
    /// If a file cannot be written; the run is then whole, with the card before or without one.
    pub fn set_card(&mut self, text: &str) -> Result<(), RunDirError> {
        self.set_text(CARD, |files| &mut files.card, text)
    }

    /// Keeps what came out, as JSON, as `result.json`, until the next checkpoint.
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
        // A file that the manifest names is not written over.
        if found.is_some() {
            self.put_manifest(next.clone())?;
        }
        *entry(&mut next.files) = Some(self.write(name.into(), text.as_bytes())?);
        self.put_manifest(next)
    }

    /// Gives the files of the last checkpoint their names at rest.
    ///
    /// # Errors
    /// If a file cannot be written; the run is then as it was.
    pub fn finish(&mut self) -> Result<(), RunDirError> {
        let mut next = self.manifest.clone();
        let Files { last, best, learning, state, .. } = &mut next.files;
        let learning = learning.as_mut().map(|entry| (entry, "learning.safetensors"));
        let entries = [(last, "last.safetensors"), (best, "best.safetensors"), (state, "state")];
        for (entry, name) in entries.into_iter().chain(learning) {
            if entry.name != name {
                *entry = self.write(name.into(), &self.read_file(entry)?)?;
            }
        }
        self.put_manifest(next)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn error(&self, name: &str) -> impl FnOnce(io::Error) -> RunDirError {
        let path = self.file(name);
        |source| RunDirError::Io { path, source }
    }

    fn write(&self, name: String, content: &[u8]) -> Result<FileEntry, RunDirError> {
        write_synced(&self.file(&name), content).map_err(self.error(&name))?;
        Ok(FileEntry::of(name, content))
    }

    /// The content of a file, as the manifest has it.
    fn read_file(&self, entry: &FileEntry) -> Result<Vec<u8>, RunDirError> {
        let path = self.file(&entry.name);
        let damaged =
            |problem: &str| RunDirError::Damaged { path: path.clone(), problem: problem.into() };
        let mut content = match fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(damaged("is missing"));
            }
            Err(source) => return Err(RunDirError::Io { path, source }),
        };
        if content.len() as u64 > entry.bytes && entry.name == METRICS {
            content.truncate(entry.bytes as usize);
        }
        let found = content.len() as u64;
        if found != entry.bytes {
            return Err(damaged(&format!("should have {} bytes, has {found}", entry.bytes)));
        }
        if sha256(&content) != entry.sha256 {
            return Err(damaged("has been changed: its SHA-256 is not that of the manifest"));
        }
        Ok(content)
    }

    /// Makes `metrics.jsonl` the lines so far, `content`, and a line for each of `records`. What is there before that
    /// stays as it is at any moment.
    fn set_metrics(
        &self,
        mut content: Vec<u8>,
        records: &[EpochRecord],
    ) -> Result<FileEntry, RunDirError> {
        let line = |record| serde_json::to_string(record).expect("a record has text keys") + "\n";
        let lines: String = records.iter().map(line).collect();
        let write = || {
            let mut file = OpenOptions::new().append(true).open(self.file(METRICS))?;
            file.set_len(content.len() as u64)?;
            file.write_all(lines.as_bytes())?;
            file.sync_all()
        };
        write().map_err(self.error(METRICS))?;
        content.extend(lines.as_bytes());
        Ok(FileEntry::of(METRICS.into(), &content))
    }

    /// The commit: what `next` names is the run from now on.
    fn put_manifest(&mut self, next: Manifest) -> Result<(), RunDirError> {
        let text = next.to_text();
        replace_file(&self.file(MANIFEST), text.as_bytes()).map_err(self.error(MANIFEST))?;
        self.manifest = next;
        self.remove_stale()
    }

    /// Removes files of other checkpoints.
    fn remove_stale(&self) -> Result<(), RunDirError> {
        let Files { card, result, metrics, last, best, learning, state, .. } = &self.manifest.files;
        let optional = [card, result, learning].into_iter().flatten();
        let checkpoint = [metrics, last, best, state].into_iter().chain(optional);
        let mut kept = vec![MANIFEST, CONFIG, FEATURES];
        kept.extend(checkpoint.map(|entry| entry.name.as_str()));
        let remove = || {
            for entry in fs::read_dir(&self.path)? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if is_own(&name) && !kept.contains(&&*name) {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        remove().map_err(|source| RunDirError::Io { path: self.path.clone(), source })
    }
}

/// Keeps every state it is shown.
impl Observer for RunDir {
    fn on_epoch(&mut self, _record: &EpochRecord, state: &TrainState) -> Result<(), String> {
        self.commit(state).map_err(|error| error.to_string())
    }
}
