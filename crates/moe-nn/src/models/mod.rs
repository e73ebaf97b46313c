//! Models, their descriptions, and the encoders and heads that they share.

pub(crate) mod baseline;
pub(crate) mod bias;
pub(crate) mod column_encoder;
pub(crate) mod encoder;
pub(crate) mod heads;
pub(crate) mod mixture;
pub(crate) mod model;
pub(crate) mod model_description;
pub(crate) mod overrides;
pub(crate) mod shared_bottom;
