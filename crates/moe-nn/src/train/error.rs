use crate::error::OtherModule;
use crate::optimizer::error::OptimizerError;
use crate::train::not_finite_cause::NotFiniteCause;

/// Error of a training step that was not taken. The model has not been updated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// A term of the loss is not a finite number.
    #[error("{term} is {value}; {cause}")]
    Loss {
        /// Name of the term: a task or an auxiliary loss.
        term: String,
        /// Value of the term.
        value: f64,
        /// The cause.
        cause: NotFiniteCause,
    },
    /// An element of a gradient, or its square, is not a finite number.
    #[error("the gradient of {parameter} has an element {value}; {cause}")]
    Gradient {
        /// The parameter.
        parameter: String,
        /// The first such element.
        value: f64,
        /// The cause.
        cause: NotFiniteCause,
    },
    /// The optimiser did not take the step.
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
    /// A [`StepHook`](crate::StepHook) stopped the step, with this message.
    #[error("{0}")]
    Hook(String),
}

/// Error that stopped training.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A step could not be taken.
    #[error("step {step} (epoch {epoch}): {source}")]
    Step {
        /// Number of the step, from 1.
        step: u64,
        /// Number of the epoch, from 1.
        epoch: usize,
        /// The cause.
        source: StepError,
    },
    /// The validation loss is not a finite number.
    #[error("after epoch {epoch}: the validation loss of {term} is {value}; {cause}")]
    ValidationNotFinite {
        /// Number of the epoch, from 1.
        epoch: usize,
        /// Name of the task.
        term: String,
        /// Loss of the task.
        value: f64,
        /// The cause.
        cause: NotFiniteCause,
    },
    /// An observer asked to stop ([`TrainControl::SaveAndStop`](crate::TrainControl::SaveAndStop)), and the observers have
    /// been given the state. The model has the weights of this step.
    #[error("interrupted after step {step} (epoch {epoch})")]
    Interrupted {
        /// Number of steps taken.
        step: u64,
        /// Number of the epoch, from 1.
        epoch: usize,
    },
    /// A saved state belongs to another model.
    #[error("the saved state is that of another model: {0}")]
    OtherModel(#[from] OtherModule),
    /// A state that was saved inside an epoch is to be continued with epochs of another length.
    #[error(
        "the saved state is inside an epoch of {saved} steps, but these data and batches make epochs of {given}; \
         continue with those of the interrupted training"
    )]
    OtherEpoch {
        /// Number of steps per epoch before the interruption.
        saved: u64,
        /// Number of steps per epoch now.
        given: u64,
    },
    /// The observer returned an error at a checkpoint between two steps.
    #[error("after step {step}: {message}")]
    Checkpoint {
        /// Number of steps taken.
        step: u64,
        /// Message of the observer.
        message: String,
    },
    /// The observer returned an error.
    #[error("after epoch {epoch}: {message}")]
    Observer {
        /// Number of the epoch, from 1.
        epoch: usize,
        /// Message of the observer.
        message: String,
    },
    /// The training or validation split is empty.
    #[error("the {split} split has no rows")]
    EmptySplit {
        /// "training" or "validation".
        split: &'static str,
    },
    /// A router reads the planted groups of rows ([`Properties::reads_groups`](moe_routers::Properties)), which the data do not
    /// have.
    #[error(
        "the gates of MoE layer {layer} read the planted group of each row, and the rows of the {split} split have none"
    )]
    NoGroups {
        /// Name of the layer.
        layer: String,
        /// "training" or "validation".
        split: &'static str,
    },
}

impl TrainError {
    /// The cause of a loss or a gradient that is not finite.
    pub fn not_finite_cause(&self) -> Option<&NotFiniteCause> {
        match self {
            TrainError::Step {
                source: StepError::Loss { cause, .. } | StepError::Gradient { cause, .. },
                ..
            }
            | TrainError::ValidationNotFinite { cause, .. } => Some(cause),
            _ => None,
        }
    }
}
