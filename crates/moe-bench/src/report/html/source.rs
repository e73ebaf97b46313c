//! What a page is about: a comparison, a run or a study, as it is on disk.

use std::fs;
use std::path::{Path, PathBuf};

use moe_nn::EpochRecord;

use crate::config::Config;
use crate::error::Error;
use crate::experiment::inspection::Inspection;
use crate::experiment::results::{Comparison, RunResult};
use crate::journal::journal::Journal;
use crate::journal::state::Study as Kept;
use crate::study::stored::{NAME, stored};
use crate::study::summary::StudySummary;

/// What a page is about.
#[derive(Debug)]
pub(crate) enum Source {
    /// The results of `moe compare`.
    Comparison(Box<Comparison>),
    /// A run of `moe train`, also one that has not ended.
    Run(Box<Run>),
    /// A study of `moe tune`.
    Study(Box<Study>),
}

/// A run of `moe train`.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) config: Option<Config>,
    pub(crate) epochs: Vec<EpochRecord>,
    /// `None` before the run has ended.
    pub(crate) result: Option<RunResult>,
    /// How the gates route the rows of the test split, or why that is not known.
    pub(crate) inspection: Result<Inspection, String>,
}

/// A study of `moe tune`.
#[derive(Debug)]
pub(crate) struct Study {
    /// The file, as it was given.
    pub(crate) path: PathBuf,
    pub(crate) config: Config,
    pub(crate) kept: Kept,
}

impl Study {
    /// What it has found.
    pub(crate) fn summary(&self) -> StudySummary {
        StudySummary::new(self.path.display().to_string(), &self.config, &self.kept)
    }
}

/// What may be passed to `moe report`.
const ALLOWED: &str = "pass the directory of a comparison (moe compare, with results.json), the directory of a run (moe \
                       train, with manifest.json) or the file of a study (moe tune)";

impl Source {
    /// Reads what is in `path`. A run is not inspected yet.
    ///
    /// # Errors
    /// If there is neither a comparison, nor a run, nor a study, or it cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        if path.is_file() {
            return study(path);
        }
        if !path.is_dir() {
            return Err(Error::out_dir(path, format!("there is nothing; {ALLOWED}")));
        }
        let has = |name: &str| path.join(name).is_file();
        if has("results.json") {
            let file = path.join("results.json");
            let text = fs::read_to_string(&file).map_err(Error::file(&file))?;
            let read = serde_json::from_str(&text);
            return read.map(|read| Source::Comparison(Box::new(read))).map_err(|error| {
                Error::out_dir(file, format!("is not the results of a comparison: {error}"))
            });
        }
        if has("runs.jsonl") || has("compare.lock") {
            let problem =
                "the comparison has not ended; moe compare with --out and --resume continues it";
            return Err(Error::out_dir(path, problem));
        }
        if has("manifest.json") || has("manifest.previous.json") {
            return run(path).map(|run| Source::Run(Box::new(run)));
        }
        Err(Error::out_dir(path, format!("holds neither a comparison nor a run; {ALLOWED}")))
    }
}

impl Source {
    /// The same with what was found by inspecting a run; what is not a run is returned as it is.
    pub(crate) fn inspected(mut self, found: Result<Inspection, Error>) -> Self {
        if let Source::Run(run) = &mut self {
            run.inspection = found.map_err(|error| {
                format!(
                    "The model was not looked at, since it cannot be loaded with its data: {error}"
                )
            });
        }
        self
    }
}

fn study(path: &Path) -> Result<Source, Error> {
    let other = |problem: &dyn std::fmt::Display| {
        Error::out_dir(path, format!("is not the file of a study ({problem}); {ALLOWED}"))
    };
    let journal = Journal::open(path).map_err(|error| other(&error))?;
    let state = journal.state();
    let Some((id, config)) = stored(state, path)? else {
        return Err(other(&format!("no study has the name {NAME}")));
    };
    let kept = state.studies[id].clone();
    Ok(Source::Study(Box::new(Study { path: path.to_owned(), config, kept })))
}

/// The files of a run that can be read without its model.
fn run(path: &Path) -> Result<Run, Error> {
    let read = |name: &str| -> Result<Option<String>, Error> {
        let file = path.join(name);
        if !file.is_file() {
            return Ok(None);
        }
        fs::read_to_string(&file).map(Some).map_err(Error::file(file))
    };
    let wrong = |name: &str, problem: String| Error::out_dir(path.join(name), problem);
    let config = read("config.resolved.toml")?.map(|text| Config::parse_saved(&text)).transpose();
    let config = config.map_err(|problem| wrong("config.resolved.toml", problem))?;
    let result = read("result.json")?.map(|text| serde_json::from_str(&text)).transpose();
    let result = result
        .map_err(|error| wrong("result.json", format!("is not the result of a run: {error}")))?;
    let mut epochs = Vec::new();
    // The log is written again where it is damaged: what can be read of it is enough.
    for line in read("metrics.jsonl")?.unwrap_or_default().lines() {
        let Ok(record) = serde_json::from_str(line) else { break };
        epochs.push(record);
    }
    Ok(Run { config, epochs, result, inspection: Err("The run was not inspected.".into()) })
}
