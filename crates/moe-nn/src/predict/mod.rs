//! Inference with a trained model.

pub(crate) mod predictions;
pub(crate) mod predictor;
