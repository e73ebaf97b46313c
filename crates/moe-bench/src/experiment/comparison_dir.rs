//! The directory of a comparison: who writes there, and which runs it has.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use moe_core::files::whole_name;
use moe_core::lock_file::{LockError, LockFile};
use moe_nn::Models;

use crate::config::Config;
use crate::error::Error;
use crate::experiment::results::RunOutcome;
use crate::experiment::run_all::Runs;
use crate::experiment::saved_config::check_same;
use crate::report::out_dir::OutDir;

const CONFIG: &str = "config.resolved.toml";
const RUNS: &str = "runs.jsonl";
const LOCK: &str = "compare.lock";

/// All files that a comparison writes.
const FILES: [&str; 6] = [CONFIG, RUNS, LOCK, "results.json", "report.md", "report.html"];

/// A directory in which this process, and no other one, writes the results of a comparison.
#[derive(Debug)]
pub(crate) struct ComparisonDir {
    pub(crate) dir: OutDir,
    _lock: LockFile,
}

impl ComparisonDir {
    /// The directory `out`, which must be new or empty; without it a new one under `runs/`.
    ///
    /// # Errors
    /// If the directory cannot be made, is not empty, or another process was faster.
    pub(crate) fn create(out: Option<&Path>, config: &Config) -> Result<Self, Error> {
        let dir = OutDir::create(out, &format!("compare-{}", config.dataset.name))?;
        let other = "has begun to write here; pass a new directory with --out";
        let lock = lock(&dir.path, other)?;
        dir.claim(CONFIG)?;
        dir.write(CONFIG, &config.to_toml())?;
        Ok(ComparisonDir { dir, _lock: lock })
    }

    /// The directory of a comparison that was stopped, with the runs that it has. It is made if it is not there.
    ///
    /// # Errors
    /// If another process writes there, the comparison had another configuration, the directory holds something else, or its
    /// files cannot be read. What is there stays.
    pub(crate) fn resume(
        path: &Path,
        config: &Config,
        models: &Models,
    ) -> Result<(Self, Vec<RunOutcome>), Error> {
        if path.is_file() {
            return Err(Error::out_dir(path, "is a file; pass the directory of a comparison"));
        }
        fs::create_dir_all(path).map_err(Error::file(path))?;
        let other = "is writing the comparison in this directory; wait until it has ended";
        let lock = lock(path, other)?;
        for entry in fs::read_dir(path).map_err(Error::file(path))? {
            let name = entry.map_err(Error::file(path))?.file_name();
            let name = name.to_string_lossy();
            if !FILES.contains(&whole_name(&name)) {
                let problem = format!(
                    "holds {name}, which is not a file of a comparison; pass the directory of a comparison, or a new one"
                );
                return Err(Error::out_dir(path, problem));
            }
            if whole_name(&name) != name {
                // A process that was killed has left it unfinished.
                fs::remove_file(path.join(&*name)).map_err(Error::file(path.join(&*name)))?;
            }
        }
        let (saved, given) = (read(&path.join(CONFIG))?, config.to_toml());
        let dir = OutDir { path: path.to_owned() };
        let runs = if saved.is_empty() {
            // It was stopped before it had written its configuration.
            dir.write(CONFIG, &given)?;
            Vec::new()
        } else {
            check_same(path, &saved, &given, models)?;
            runs(&path.join(RUNS), config)?
        };
        Ok((ComparisonDir { dir, _lock: lock }, runs))
    }

    /// Writes the runs so far.
    pub(crate) fn save(&self, outcomes: &[&RunOutcome]) -> Result<(), Error> {
        self.dir.write_lines(RUNS, outcomes)
    }
}

/// The directory of several comparisons, which has a directory of each of these `names`: `out`, which must be new or empty if
/// they are not continued; without it a new one under `runs/`.
///
/// # Errors
/// If the directory cannot be made or read, or holds something else.
pub(crate) fn folder(
    out: Option<&Path>,
    is_continued: bool,
    names: &[String],
) -> Result<PathBuf, Error> {
    let Some(path) = out.filter(|path| is_continued && path.exists()) else {
        return Ok(OutDir::create(out, &format!("compare-{}", names.join("-and-")))?.path);
    };
    for entry in fs::read_dir(path).map_err(Error::file(path))? {
        let name = entry.map_err(Error::file(path))?.file_name();
        if !names.iter().any(|known| name == **known) {
            let problem = format!(
                "holds {}; the directory of comparisons on {} holds a directory for each of them only",
                name.to_string_lossy(),
                names.join(" and ")
            );
            return Err(Error::out_dir(path, problem));
        }
    }
    Ok(path.to_owned())
}

/// Locks the directory `path`; `other` says what another process does.
fn lock(path: &Path, other: &str) -> Result<LockFile, Error> {
    let lock = path.join(LOCK);
    LockFile::acquire(&lock).map_err(|error| match error {
        LockError::Held { process } => {
            let id = process.map_or(String::new(), |id| format!(" ({id})"));
            Error::out_dir(path, format!("another process{id} {other}"))
        }
        LockError::NotAFile => Error::out_dir(lock, "is not a regular file"),
        LockError::Io(error) => Error::file(lock)(error),
    })
}

/// The text of a file, empty if there is none.
fn read(path: &Path) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        text => text.map_err(Error::file(path)),
    }
}

/// The runs of `runs.jsonl`. A last line that is torn is dropped.
fn runs(path: &Path, config: &Config) -> Result<Vec<RunOutcome>, Error> {
    let (text, keys) = (read(path)?, Runs::keys(config));
    let mut outcomes: Vec<RunOutcome> = Vec::new();
    let mut lines = text.split_inclusive('\n').zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        let problem = match RunOutcome::read(line) {
            Ok(outcome) if !keys.contains(&outcome.key()) => {
                let (router, seed) = outcome.key();
                format!("is of {router} seed {seed}, which is not in {CONFIG}")
            }
            Ok(outcome) if outcomes.iter().any(|other| other.key() == outcome.key()) => {
                "is of the same router and seed as an earlier one".into()
            }
            Ok(outcome) => {
                outcomes.push(outcome);
                continue;
            }
            Err(_) if lines.peek().is_none() && !line.ends_with('\n') => continue,
            Err(error) => format!("is not a run: {error}"),
        };
        let help = "remove the line to train the run again";
        return Err(Error::out_dir(path, format!("line {number} {problem}; {help}")));
    }
    Ok(outcomes)
}
