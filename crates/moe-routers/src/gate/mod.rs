//! Building blocks of routers: gate logits, normalised rows, smooth steps, selection of experts.

pub(crate) mod from_first;
pub(crate) mod gate_linear;
pub(crate) mod part_losses;
pub(crate) mod row_sparse_linear;
pub(crate) mod select;
pub(crate) mod smooth_step;
pub(crate) mod top_k;
pub(crate) mod unit_rows;
