use crate::error::OtherModule;
use crate::optimizer::error::OptimizerError;

/// Error of a training step that was not taken. The model has not been updated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// A term of the loss is not a finite number.
    #[error("{term} is {value}; try a smaller learning rate")]
    Loss {
        /// Name of the term: a task or an auxiliary loss.
        term: String,
        /// Value of the term.
        value: f64,
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
    #[error(
        "after epoch {epoch}: the validation loss of {term} is {value}; try a smaller learning rate"
    )]
    ValidationNotFinite {
        /// Number of the epoch, from 1.
        epoch: usize,
        /// Name of the task.
        term: String,
        /// Loss of the task.
        value: f64,
    },
    /// A saved state belongs to another model.
    #[error("the saved state is that of another model: {0}")]
    OtherModel(#[from] OtherModule),
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
}
