/// Why an optimiser took no step. Neither the module nor the optimiser has changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptimizerError {
    /// An element of a gradient is not a finite number, or so large that its square is not.
    #[error("the gradient of {parameter} has an element {value}; try a smaller learning rate")]
    NotFinite {
        /// The parameter.
        parameter: String,
        /// The first such element.
        value: f64,
    },
    /// A group names no parameter.
    #[error("the group \"{prefix}\" names no parameter; there are {parameters}")]
    EmptyGroup {
        /// The group's prefix.
        prefix: String,
        /// Names of all parameters.
        parameters: String,
    },
    /// A group has a weight decay, but the rule is Adam.
    #[error("the group \"{prefix}\" has a weight decay, which Adam does not have; AdamW does")]
    GroupDecay {
        /// The group's prefix.
        prefix: String,
    },
}
