//! The routers, one file or folder each.

pub(crate) mod comet;
pub(crate) mod dselect_k;
pub(crate) mod expert_choice;
pub(crate) mod hash;
pub(crate) mod moesart;
pub(crate) mod noisy_top_k;
pub(crate) mod softmax;
pub(crate) mod switch;
pub(crate) mod top_k;
pub(crate) mod v_moe;
pub(crate) mod x_moe;
