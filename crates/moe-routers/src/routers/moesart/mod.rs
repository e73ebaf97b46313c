//! MOESART: K experts sampled from the softmax, and the weights that correct for the sampling.

pub(crate) mod moesart;
pub(crate) mod sample;
pub(crate) mod sampled_weights;
