use std::path::{Path, PathBuf};

use moe_data::DataError;
use moe_nn::{ModelError, PredictorError, RunDirError, TrainError, WeightsError};
use moe_routers::RegistryError;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is wrong: a key, a value, or flags that do not go together.
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
    /// Data is not what it was published as.
    #[error("{found}{id} is not the whole original: {wrong}")]
    Differs {
        /// Id of the data set.
        id: &'static str,
        /// All that was found.
        found: String,
        /// What differs.
        wrong: String,
    },
    /// Weights cannot be imported.
    #[error("import: {0}")]
    Import(#[from] WeightsError),
    /// Training stopped.
    #[error("router {router}, seed {seed}: {source}")]
    Train {
        /// The router.
        router: String,
        /// The seed of the run.
        seed: u64,
        /// Why.
        source: TrainError,
    },
    /// The directory of a run cannot be written or read.
    #[error(transparent)]
    Run(#[from] RunDirError),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A trained model cannot be used.
    #[error(transparent)]
    Predictor(#[from] PredictorError),
    /// Rows could not be read to their end.
    #[error("{source}; {}", before(*rows, place.as_deref()))]
    Stopped {
        /// What is wrong, and where.
        source: Box<DataError>,
        /// Rows before it, which were predicted.
        rows: u64,
        /// The unfinished file with their predictions, unless these went to stdout.
        place: Option<PathBuf>,
    },
    /// A directory for results is not what it should be.
    #[error("{}: {problem}", path.display())]
    OutDir {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

fn before(rows: u64, place: Option<&Path>) -> String {
    let place = place.map_or_else(String::new, |place| format!(", in {}", place.display()));
    format!("the {rows} good rows before it were predicted{place}")
}

impl Error {
    /// The exit status of the contract: 2 for a usage or configuration error, 1 for anything else.
    pub fn exit_status(&self) -> u8 {
        match self {
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

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        |source| Error::File { path, source }
    }
}
