//! Models: their descriptions and registry, the mixture, and the baselines.

pub(crate) mod baselines;
pub(crate) mod bias;
pub(crate) mod column_encoder;
pub(crate) mod description;
pub(crate) mod encoder;
pub(crate) mod entry;
pub(crate) mod expert_kind;
pub(crate) mod heads;
pub(crate) mod mixture;
pub(crate) mod mixture_description;
pub(crate) mod model;
pub(crate) mod overrides;
pub(crate) mod registry;
pub(crate) mod shared_bottom;
