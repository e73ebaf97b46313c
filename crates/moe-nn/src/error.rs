use std::ffi::OsString;
use std::path::PathBuf;

use moe_core::envelope::EnvelopeError;
use moe_core::task::TaskError;
use moe_routers::RegistryError;

/// Error of building a model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The router cannot be built.
    #[error(transparent)]
    Router(#[from] RegistryError),
    /// A size is not allowed.
    #[error("{what} {problem}")]
    Size {
        /// The size.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The model does not fit into memory.
    #[error(
        "the model would have {weights:.1e} weights and need {bytes:.1e} bytes, more than this machine has"
    )]
    TooLarge {
        /// Number of weights.
        weights: f64,
        /// Memory in bytes.
        bytes: f64,
    },
    /// No model is of this kind.
    #[error("unknown kind of model \"{kind}\"; known kinds: {known}")]
    UnknownKind {
        /// The kind of the description.
        kind: String,
        /// All kinds.
        known: String,
    },
    /// The description cannot be read.
    #[error("the description of the model is not readable: {message}")]
    Description {
        /// What is wrong with it.
        message: String,
    },
    /// The rows have tokens, or no inputs at all.
    #[error("the model is for rows of ids and numbers; a row has {found}")]
    Inputs {
        /// Description of a row.
        found: String,
    },
    /// The program does not know the kind of a task.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// [`Bias`](crate::Bias) cannot be fitted to a kind of task.
    #[error(
        "task {task}: bias has no closed form for the kind \"{kind}\"; it has one for binary, multiclass and regression"
    )]
    NoClosedForm {
        /// Name of the task.
        task: String,
        /// Id of its kind.
        kind: String,
    },
    /// [`Bias`](crate::Bias) only takes two columns of ids.
    #[error("bias is for rows of two ids, such as a user and an item; a row has {found}")]
    NotTwoIds {
        /// Description of a row.
        found: String,
    },
}

/// A tensor that is missing, unexpected, of another shape or unreadable: the weights belong to another module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tensor \"{name}\" {problem}")]
pub struct OtherModule {
    /// Name of the tensor.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
}

impl OtherModule {
    pub(crate) fn new(name: &str, problem: impl Into<String>) -> Self {
        OtherModule { name: name.into(), problem: problem.into() }
    }
}

/// Error of saving or loading weights.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file is not a safetensors file, or it is damaged.
    #[error("{}: not a complete safetensors file: {message}", path.display())]
    Format {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A tensor of the file does not fit the model.
    #[error("{}: {source}", path.display())]
    Tensor {
        /// Path of the file.
        path: PathBuf,
        /// The tensor.
        source: OtherModule,
    },
}

/// Error of writing or reading a run directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunDirError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A new run needs an empty directory.
    #[error("{}: is not empty: it holds {}", path.display(), found.display())]
    NotEmpty {
        /// Path of the directory.
        path: PathBuf,
        /// One of the files in it.
        found: OsString,
    },
    /// A directory without a manifest has checkpoints of a run, which a new one would overwrite.
    #[error(
        "{}: has no manifest.json, but {} of a run that has been trained; restore the manifest, or choose another directory",
        path.display(), found.display()
    )]
    LostManifest {
        /// Path of the directory.
        path: PathBuf,
        /// A checkpoint in it.
        found: OsString,
    },
    /// A process trains in the directory, and two would mix their checkpoints.
    #[error(
        "{}: another process{} is training in this directory; wait until it has ended, or choose another directory",
        path.display(), process.map_or(String::new(), |id| format!(" ({id})"))
    )]
    InUse {
        /// Path of the directory.
        path: PathBuf,
        /// Id of the process, if it is known.
        process: Option<u32>,
    },
    /// The directory does not contain a run.
    #[error("{}: is not the directory of a run: it has no {missing}", path.display())]
    NotARun {
        /// Path of the directory.
        path: PathBuf,
        /// The file that every run directory has.
        missing: &'static str,
    },
    /// A file is not as the run left it.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The training state cannot be written or decoded.
    #[error(transparent)]
    State(#[from] EnvelopeError),
    /// The weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// Error of applying [`Overrides`](crate::Overrides) to a trained model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OverrideError {
    /// The model is not a mixture.
    #[error("the model has no router")]
    NoRouter,
    /// The router does not use K.
    #[error("router {router} does not use K, so it cannot be overridden")]
    NoK {
        /// Id of the router.
        router: String,
    },
    /// The router cannot limit the rows per expert.
    #[error("router {router} has no parameter {parameter}")]
    NoParameter {
        /// Id of the router.
        router: String,
        /// The parameter it would need.
        parameter: &'static str,
    },
    /// The router has learnt thresholds for one K.
    #[error(
        "the thresholds that router {router} has learnt are for K = {k}, so K cannot be changed"
    )]
    Learnt {
        /// Id of the router.
        router: String,
        /// The K of training.
        k: usize,
    },
    /// The router has weights for each of its K choices.
    #[error(
        "K is part of the weights of router {router} (K = {k}) and cannot be changed: {source}"
    )]
    InWeights {
        /// Id of the router.
        router: String,
        /// The K of training.
        k: usize,
        /// A tensor that does not fit.
        source: OtherModule,
    },
    /// The router is unknown, or the value is not allowed.
    #[error(transparent)]
    Router(#[from] RegistryError),
}

/// Error of preparing a trained model for inference.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredictorError {
    /// The run cannot be read.
    #[error(transparent)]
    Run(#[from] RunDirError),
    /// The model cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The weights do not fit the model.
    #[error(transparent)]
    Weights(#[from] OtherModule),
    /// The model has more weights than there are.
    #[error("the model would have {needed:.3e} weights, but there are only {found}")]
    TooFewWeights {
        /// Least number of weights of the model.
        needed: f64,
        /// Number of the weights.
        found: usize,
    },
    /// The router reads the planted groups of rows, which rows to predict do not have.
    #[error(transparent)]
    Groups(InputError),
    /// The overrides do not apply to the model.
    #[error(transparent)]
    Override(#[from] OverrideError),
    /// The model of a run directory cannot be loaded.
    #[error("{}: {source}", path.display())]
    InRun {
        /// Path of the directory.
        path: PathBuf,
        /// The cause.
        source: Box<PredictorError>,
    },
}

/// Error of passing inputs that the model does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// A router of the model reads the planted groups of rows ([`Properties::reads_groups`](moe_routers::Properties)), which
    /// rows to predict do not have.
    #[error(
        "the model routes rows by their planted group, which rows to predict do not have; evaluate it on a data set with groups"
    )]
    NoGroups,
    /// A part of the inputs is missing, or there is one too many.
    #[error("the model takes {needed}, not {found}")]
    Parts {
        /// The parts that the model takes, such as `ids and numbers`.
        needed: String,
        /// The parts of the inputs.
        found: String,
    },
    /// The number of id columns differs.
    #[error("the model takes {needed} columns of ids, not {found}")]
    Columns {
        /// Number that the model takes.
        needed: usize,
        /// Number in the inputs.
        found: usize,
    },
    /// The number of dense inputs per row differs.
    #[error("the model takes {needed} numbers per row, not {found}")]
    Width {
        /// Number that the model takes.
        needed: usize,
        /// Number in the inputs.
        found: usize,
    },
    /// The dense values of a row have another shape.
    #[error("the model takes numbers of the shape {needed:?} per row, not {found:?}")]
    Shape {
        /// Shape that the model takes.
        needed: Vec<usize>,
        /// Shape of a row of the inputs.
        found: Vec<usize>,
    },
    /// Row counts of keys and inputs differ.
    #[error("{what}: {found} rows, but there are {needed} keys")]
    Rows {
        /// Name of the id column, "numbers" or "tokens".
        what: String,
        /// Number of keys.
        needed: usize,
        /// Number of rows.
        found: usize,
    },
    /// An id is outside the vocabulary of its column.
    #[error("row {row}: {column} {id} is not below {vocabulary}")]
    Id {
        /// Name of the column.
        column: String,
        /// Index of the row, from 0.
        row: usize,
        /// The id.
        id: u32,
        /// Size of the vocabulary: every id is below it.
        vocabulary: usize,
    },
    /// A row has no tokens, or too many.
    #[error("row {row}: {found} tokens; the model takes from 1 to {longest}")]
    Tokens {
        /// Index of the row, from 0.
        row: usize,
        /// Number of tokens of the row.
        found: usize,
        /// Largest number of tokens of a row.
        longest: usize,
    },
    /// A token is outside the vocabulary.
    #[error("row {row}: token {place} is {id}, which is not below {vocabulary}")]
    Token {
        /// Index of the row, from 0.
        row: usize,
        /// Place of the token in the row, from 0.
        place: usize,
        /// The token.
        id: u32,
        /// Size of the vocabulary: every token is below it.
        vocabulary: usize,
    },
}
