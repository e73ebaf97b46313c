//! Directories that results are kept in.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
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
    /// What products were computed with; results may differ between instruction sets in the last bits.
    instruction_set: &'static str,
    /// SHA-256 of every file named.
    files: BTreeMap<&'static str, String>,
}

impl RunDir {
    /// `path` if it is given, which must then be new or empty; else the first free of `runs/NAME`, `runs/NAME-2`, ….
    pub(crate) fn create(path: Option<&Path>, name: &str) -> Result<Self, Error> {
        let Some(path) = path else {
            return Self::create_free(name);
        };
        let entries = fs::read_dir(path);
        let problem = match entries.map(|mut entries| entries.next().is_none()) {
            Ok(true) => return Ok(RunDir { path: path.into() }),
            Ok(false) => "is not empty",
            Err(error) if error.kind() == ErrorKind::NotADirectory && path.is_file() => "is a file",
            Err(_) => {
                fs::create_dir_all(path).map_err(Error::file(path))?;
                return Ok(RunDir { path: path.into() });
            }
        };
        Err(wrong(path, &format!("{problem}; name a new directory with --out")))
    }

    fn create_free(name: &str) -> Result<Self, Error> {
        let parent = Path::new("runs");
        fs::create_dir_all(parent).map_err(Error::file(parent))?;
        for number in 1.. {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let path = parent.join(format!("{name}{suffix}"));
            // Made here or not at all: of two commands that start at once each gets its own.
            match fs::create_dir(&path) {
                Ok(()) => return Ok(RunDir { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::file(path)(error)),
            }
        }
        unreachable!("there is always a free name")
    }

    /// The directory of an interrupted run with the same configuration.
    pub(crate) fn resume(path: &Path, config: &str) -> Result<(Self, TrainState), Error> {
        let dir = RunDir { path: path.into() };
        let config_path = dir.file(CONFIG);
        if !config_path.exists() {
            let problem = format!("is not the directory of a run: it has no {CONFIG}");
            return Err(wrong(path, &problem));
        }
        let found = fs::read_to_string(&config_path).map_err(Error::file(&config_path))?;
        if found != config {
            let mut lines = found.lines().zip(config.lines());
            let (old, new) = lines.find(|(old, new)| old != new).unwrap_or_default();
            let problem = format!(
                "differs from the configuration given, first in `{old}` where `{new}` is given; resume with the same \
                 one, or start anew in another directory"
            );
            return Err(wrong(&config_path, &problem));
        }
        if !dir.file(STATE).exists() {
            let problem = "has no state to resume from: the run was stopped before its first epoch ended; start anew \
                           in another directory";
            return Err(wrong(path, problem));
        }
        let state: TrainState = envelope::read(&dir.file(STATE), STATE_KIND)?;
        // The run may have been stopped between the two files.
        dir.write_metrics(&state)?;
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

    /// A line of JSON per value.
    pub(crate) fn write_lines(&self, name: &str, values: &[impl Serialize]) -> Result<(), Error> {
        let line = |value| serde_json::to_string(value).expect("results have text keys") + "\n";
        self.write(name, &values.iter().map(line).collect::<String>())
    }

    /// Commits a state, then the metrics that belong to it.
    fn checkpoint(&self, state: &TrainState) -> Result<(), Error> {
        envelope::write(&self.file(STATE), STATE_KIND, state)?;
        self.write_metrics(state)
    }

    fn write_metrics(&self, state: &TrainState) -> Result<(), Error> {
        self.write_lines(METRICS, &state.history().epochs)
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
            instruction_set: moe_core::kernel::instruction_set(),
            files: files.collect::<Result<_, Error>>()?,
        };
        self.write_json(MANIFEST, &manifest)
    }
}

fn wrong(path: &Path, problem: &str) -> Error {
    Error::RunDir { path: path.into(), problem: problem.into() }
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
