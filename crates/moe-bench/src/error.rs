//! Errors of the commands, and the exit status of each.

use std::path::{Path, PathBuf};

use moe_data::DataError;
use moe_nn::{ModelError, PredictorError, RunDirError, TrainError, WeightsError};
use moe_routers::RegistryError;

use crate::journal::error::JournalError;

/// An error of a command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration has a wrong key or value, or flags that exclude each other.
    #[error("{0}")]
    Config(String),
    /// A router cannot be built as configured.
    #[error(transparent)]
    Router(#[from] RegistryError),
    /// A model cannot be built as configured.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A data set cannot be loaded.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file of a data set cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] moe_data::FetchError),
    /// Data differ from what was published.
    #[error("{found}{id} differs from the original in {wrong}")]
    Differs {
        /// Id of the data set.
        id: &'static str,
        /// The comparison, line by line.
        found: String,
        /// The files and facts that differ.
        wrong: String,
    },
    /// Weights cannot be imported.
    #[error("import: {0}")]
    Import(#[from] WeightsError),
    /// Training stopped.
    #[error("router {router}, seed {seed}: {source}{}", of_column(column))]
    Train {
        /// The router.
        router: String,
        /// The seed of the run.
        seed: u64,
        /// The reason.
        source: Box<TrainError>,
        /// The column of the original data that the reason names by its dense value, if its name is known.
        column: Option<String>,
    },
    /// A signal ended training; the run has been saved.
    #[error(
        "{signal}: the run is saved in {} after step {step} (epoch {epoch}); the same command with --out {} --resume \
         continues it",
        path.display(), path.display()
    )]
    Interrupted {
        /// Name of the signal.
        signal: &'static str,
        /// The exit status of the command: 128 and the number of the signal.
        status: u8,
        /// The directory of the run.
        path: PathBuf,
        /// Number of steps taken.
        step: u64,
        /// Number of the epoch, from 1.
        epoch: usize,
    },
    /// A signal ended a study; its trials have been saved.
    #[error("{signal}: the trials are saved; moe tune {} continues the study", path.display())]
    StudyInterrupted {
        /// Name of the signal.
        signal: &'static str,
        /// The exit status of the command: 128 and the number of the signal.
        status: u8,
        /// The journal of the study.
        path: PathBuf,
    },
    /// A signal ended a comparison; the finished runs have been saved.
    #[error(
        "{signal}: {finished} of {runs} runs are saved in {}; the same command with --out {} --resume trains the others",
        path.display(), path.display()
    )]
    ComparisonInterrupted {
        /// Name of the signal.
        signal: &'static str,
        /// The exit status of the command: 128 and the number of the signal.
        status: u8,
        /// The directory of the comparison.
        path: PathBuf,
        /// Number of runs that have ended.
        finished: usize,
        /// Number of all runs.
        runs: usize,
    },
    /// No run of a comparison was finished.
    #[error("all {runs} runs diverged; the first one: {first}")]
    AllDiverged {
        /// Number of runs.
        runs: usize,
        /// Router, seed and reason of the first one.
        first: String,
    },
    /// The directory of a run cannot be written or read.
    #[error(transparent)]
    Run(#[from] RunDirError),
    /// The journal of a study cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A trained model cannot be loaded.
    #[error(transparent)]
    Predictor(#[from] PredictorError),
    /// Predictions stopped at a row that cannot be read.
    #[error("{source}; {}", before(*rows, place.as_deref()))]
    Stopped {
        /// The problem and its place.
        source: Box<DataError>,
        /// Number of rows before it, which were predicted.
        rows: u64,
        /// The unfinished file with their predictions, unless these went to stdout.
        place: Option<PathBuf>,
    },
    /// Rows have predictions that are not finite.
    #[error(
        "{}: {rows} of {all} rows have predictions that are not finite, the first in line {line}, task {task}{}; the weights \
         of the run or the numbers of these rows are too large, or pass --non-finite null to leave these fields empty",
        input.display(), kept_in(place.as_deref())
    )]
    NotFinite {
        /// The file with the rows.
        input: PathBuf,
        /// Number of such rows.
        rows: u64,
        /// Number of rows that were predicted.
        all: u64,
        /// The line of the first such row.
        line: u64,
        /// The first task of that row whose prediction is not finite.
        task: String,
        /// The unfinished file with the predictions, unless these went to stdout.
        place: Option<PathBuf>,
    },
    /// A directory of results cannot be used.
    #[error("{}: {problem}", path.display())]
    OutDir {
        /// The directory.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
}

fn of_column(column: &Option<String>) -> String {
    column.as_ref().map_or_else(String::new, |name| format!(" (that is column {name})"))
}

fn before(rows: u64, place: Option<&Path>) -> String {
    let place = place.map_or_else(String::new, |place| format!(", in {}", place.display()));
    format!("the {rows} valid rows before it were predicted{place}")
}

fn kept_in(place: Option<&Path>) -> String {
    place.map_or_else(String::new, |place| format!(" (all are in {})", place.display()))
}

impl Error {
    /// The exit status of the command: 2 for a usage or configuration error, 128 and the number of the signal that ended
    /// training, 1 for anything else.
    pub fn exit_status(&self) -> u8 {
        match self {
            Error::Interrupted { status, .. }
            | Error::ComparisonInterrupted { status, .. }
            | Error::StudyInterrupted { status, .. } => *status,
            Error::Config(_) | Error::Router(_) | Error::Model(_) => 2,
            Error::Data(error) if error.is_configuration() => 2,
            Error::Predictor(PredictorError::InRun { source, .. })
                if matches!(**source, PredictorError::Override(_)) =>
            {
                2
            }
            _ => 1,
        }
    }

    /// An error of a directory of results or a file in it.
    pub(crate) fn out_dir(path: impl Into<PathBuf>, problem: impl Into<String>) -> Error {
        Error::OutDir { path: path.into(), problem: problem.into() }
    }

    /// An error of the system for a file.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        |source| Error::File { path, source }
    }
}
