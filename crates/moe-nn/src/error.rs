use std::ffi::OsString;
use std::path::PathBuf;

use moe_core::envelope::EnvelopeError;
use moe_routers::RegistryError;

use crate::OtherModule;

/// Why a model cannot be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The router cannot.
    #[error(transparent)]
    Router(#[from] RegistryError),
    /// [`Bias`](crate::Bias) is for recommenders.
    #[error("bias is for rows of two ids, such as a user and an item; a row has {found}")]
    NotTwoIds {
        /// What a row has.
        found: String,
    },
}

/// Why weights cannot be saved or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no safetensors file, or a damaged one.
    #[error("{}: not a whole safetensors file: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The file's tensors are not those of the model.
    #[error("{}: {source}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        source: OtherModule,
    },
}

/// Why a run directory cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunDirError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A new run would stand among other files.
    #[error("{}: is not empty: it holds {}", path.display(), found.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// One of the files in it.
        found: OsString,
    },
    /// There is no run.
    #[error("{}: is not the directory of a run: it has no {missing}", path.display())]
    NotARun {
        /// The directory.
        path: PathBuf,
        /// The file that would be there.
        missing: &'static str,
    },
    /// A file is not as the run has left it.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The state cannot be opened.
    #[error(transparent)]
    State(#[from] EnvelopeError),
    /// The weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}
