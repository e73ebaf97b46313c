//! Inference with a trained model.

pub(crate) mod input_check;
pub(crate) mod predictions;
pub(crate) mod predictor;
