//! The mixture-of-experts layer and its experts.

pub(crate) mod expert_bank;
pub(crate) mod experts;
pub(crate) mod layer_experts;
pub(crate) mod moe_layer;
