use std::ffi::OsString;
use std::path::PathBuf;

use moe_core::envelope::EnvelopeError;
use moe_routers::RegistryError;

use crate::store::weights::OtherModule;

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

/// Why a trained model cannot be used with these [`Overrides`](crate::Overrides).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OverrideError {
    /// It is no mixture.
    #[error("the model has no router")]
    NoRouter,
    /// Its router does not use K.
    #[error("router {router} does not use K, so there is nothing to change")]
    NoK {
        /// The router.
        router: String,
    },
    /// Its router cannot be limited.
    #[error("router {router} has no parameter {parameter}")]
    NoParameter {
        /// The router.
        router: String,
        /// What it would need.
        parameter: &'static str,
    },
    /// Thresholds are for one K.
    #[error(
        "K is part of what router {router} has learnt, its thresholds (K = {k}), and cannot be changed"
    )]
    Learnt {
        /// The router.
        router: String,
        /// The K that it was trained with.
        k: usize,
    },
    /// There are weights for each of the K.
    #[error(
        "K is part of the weights of router {router} (K = {k}) and cannot be changed: {source}"
    )]
    InWeights {
        /// The router.
        router: String,
        /// The K that it was trained with.
        k: usize,
        /// A tensor that does not fit.
        source: OtherModule,
    },
    /// The router is unknown, or the value is not allowed.
    #[error(transparent)]
    Router(#[from] RegistryError),
}

/// Why a model cannot be made ready for use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredictorError {
    /// The run cannot be read.
    #[error(transparent)]
    Run(#[from] RunDirError),
    /// The model cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The weights are not those of the model.
    #[error(transparent)]
    Weights(#[from] OtherModule),
    /// It cannot be used so.
    #[error(transparent)]
    Override(#[from] OverrideError),
    /// That of a run directory cannot.
    #[error("{}: {source}", path.display())]
    InRun {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: Box<PredictorError>,
    },
}

/// Why a model cannot take these inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// Ids where numbers are needed, or the other way round.
    #[error("the model takes {needed}, not {found}")]
    Kind {
        /// What it takes.
        needed: &'static str,
        /// What there is.
        found: &'static str,
    },
    /// Too many or too few columns of ids.
    #[error("the model takes {needed} columns of ids, not {found}")]
    Columns {
        /// How many it takes.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// Too many or too few numbers.
    #[error("the model takes {needed} numbers a row, not {found}")]
    Width {
        /// How many it takes.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// Not as many keys, ids of a column or rows of numbers as there should be.
    #[error("{what}: {found} rows, where there are {needed} keys")]
    Rows {
        /// Of what.
        what: String,
        /// Number of keys.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// An id that the model has not learnt of.
    #[error("row {row}: {column} {id} is not below {vocabulary}")]
    Id {
        /// Name of the column.
        column: String,
        /// The row, from 0.
        row: usize,
        /// The id.
        id: u32,
        /// All ids are below this.
        vocabulary: usize,
    },
}
