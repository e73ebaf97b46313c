//! The inputs of a model: their description and the inputs of the rows of a batch.

pub(crate) mod input_spec;
pub(crate) mod inputs;
pub(crate) mod tokens;
