use crate::error::OtherModule;

/// Error of an optimiser step that was not taken. Neither the module nor the optimiser has changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptimizerError {
    /// An element of a gradient, or its square, is not a finite number.
    #[error("the gradient of {parameter} has an element {value}; try a smaller learning rate")]
    NotFinite {
        /// The parameter.
        parameter: String,
        /// The first such element.
        value: f64,
    },
    /// The parameters differ from those of the earlier steps.
    #[error("the optimiser belongs to another model: {0}")]
    OtherModule(#[from] OtherModule),
    /// The prefix of a group matches no parameter.
    #[error(
        "the parameter group \"{prefix}\" matches no parameter; the parameters are {parameters}"
    )]
    EmptyGroup {
        /// The group's prefix.
        prefix: String,
        /// Names of all parameters.
        parameters: String,
    },
    /// A group sets a weight decay, but the rule is Adam.
    #[error(
        "the parameter group \"{prefix}\" sets a weight decay, which Adam does not support; use AdamW"
    )]
    GroupDecay {
        /// The group's prefix.
        prefix: String,
    },
}
