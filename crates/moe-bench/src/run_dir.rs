//! Directories that results are kept in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use moe_core::envelope::{self, Kind};
use moe_core::files::replace_file;
use moe_nn::{EpochRecord, MixtureDescription, Module, Observer, TrainState, save_weights};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::compare::RunObserver;

const CONFIG: &str = "config.resolved.toml";
const METRICS: &str = "metrics.jsonl";
const STATE: &str = "state";
const STATE_KIND: Kind = Kind { name: "train-state", version: 1 };
const BEST: &str = "best.safetensors";
const LAST: &str = "last.safetensors";
const MANIFEST: &str = "manifest.json";

/// A directory for the results of a command.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
}

/// `manifest.json`: what a run directory holds, written last.
#[derive(Debug, Serialize)]
struct Manifest {
    format: u32,
    router: String,
    seed: u64,
    model: MixtureDescription,
    best_epoch: usize,
    /// SHA-256 of every file named.
    files: BTreeMap<&'static str, String>,
}

impl RunDir {
    /// `path` if it is given, which must then be new or empty; else the first free of `runs/NAME`, `runs/NAME-2`, ….
    pub(crate) fn create(path: Option<&Path>, name: &str) -> Result<Self, Error> {
        let path = match path {
            Some(path) => path.to_path_buf(),
            None => (1..)
                .map(|i| {
                    Path::new("runs").join(if i == 1 { name.into() } else { format!("{name}-{i}") })
                })
                .find(|path| !path.exists())
                .expect("there is always a free name"),
        };
        let occupied = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            let problem = "is not empty; name a new directory with --out".into();
            return Err(Error::RunDir { path, problem });
        }
        fs::create_dir_all(&path).map_err(Error::file(&path))?;
        Ok(RunDir { path })
    }

    /// The directory of an interrupted run with the same configuration.
    pub(crate) fn resume(path: &Path, config: &str) -> Result<(Self, TrainState), Error> {
        let dir = RunDir { path: path.into() };
        let problem =
            |path: PathBuf, problem: &str| Error::RunDir { path, problem: problem.into() };
        let config_path = dir.file(CONFIG);
        let found = fs::read_to_string(&config_path).map_err(Error::file(&config_path))?;
        if found != config {
            let text =
                "differs from the configuration given; resume with the same one, or start anew";
            return Err(problem(config_path, text));
        }
        if !dir.file(STATE).exists() {
            let text = "has no state to resume from: it was stopped before its first epoch ended";
            return Err(problem(dir.path, text));
        }
        let state = envelope::read(&dir.file(STATE), STATE_KIND)?;
        Ok((dir, state))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.file(name);
        replace_file(&path, text.as_bytes()).map_err(Error::file(path))
    }

    pub(crate) fn write_config(&self, config: &str) -> Result<(), Error> {
        self.write(CONFIG, config)
    }

    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        self.write(name, &(to_json(value) + "\n"))
    }

    /// Commits a state, then the metrics that belong to it.
    fn checkpoint(&self, state: &TrainState) -> Result<(), Error> {
        envelope::write(&self.file(STATE), STATE_KIND, state)?;
        let line =
            |record: &EpochRecord| serde_json::to_string(record).expect("plain numbers") + "\n";
        self.write(METRICS, &state.history().epochs.iter().map(line).collect::<String>())
    }

    /// Writes the weights of a finished run, and the manifest.
    pub(crate) fn finish(
        &self,
        model: &mut dyn Module,
        description: MixtureDescription,
        seed: u64,
    ) -> Result<(), Error> {
        save_weights(model, &self.file(BEST))?;
        let state: TrainState = envelope::read(&self.file(STATE), STATE_KIND)?;
        state.restore_last(model);
        save_weights(model, &self.file(LAST))?;
        let files = [CONFIG, METRICS, STATE, BEST, LAST].into_iter().map(|name| {
            let path = self.file(name);
            let bytes = fs::read(&path).map_err(Error::file(path))?;
            let digest = Sha256::digest(&bytes);
            Ok((name, digest.iter().map(|byte| format!("{byte:02x}")).collect()))
        });
        let manifest = Manifest {
            format: 1,
            router: description.router.clone(),
            seed,
            model: description,
            best_epoch: state.history().best_epoch,
            files: files.collect::<Result<_, Error>>()?,
        };
        self.write_json(MANIFEST, &manifest)
    }
}

pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("results have text keys")
}

/// Keeps the state of a run after every epoch.
pub(crate) struct Checkpoints<'a> {
    pub(crate) dir: &'a RunDir,
    pub(crate) shown: RunObserver<'a>,
}

impl Observer for Checkpoints<'_> {
    fn on_step(&mut self, step: u64, steps_per_epoch: u64, loss: f64) {
        self.shown.on_step(step, steps_per_epoch, loss);
    }

    fn on_epoch(&mut self, record: &EpochRecord, state: &TrainState) -> Result<(), String> {
        self.dir.checkpoint(state).map_err(|error| error.to_string())?;
        self.shown.on_epoch(record, state)
    }
}
