//! Terms that routers add to the loss.
//!
//! | term | computed from | penalises |
//! | --- | --- | --- |
//! | [`load_balance`], [`load_balance_top1`] | probabilities, assignments | an uneven load |
//! | [`importance`], [`importance_of_weights`] | probabilities, weights | an uneven total weight of the experts |
//! | [`load`], [`load_with_noise`] | logits with noise | an uneven expected load |
//! | [`trimmed_lasso`] | probabilities | probability outside the K largest |
//! | [`router_z`] | logits | large logits |
//! | [`entropy`] | logits | rows that are spread over many experts |
//!
//! Each function returns an [`AuxLoss`] with its coefficient applied. [`AuxOptions`] holds the coefficients that a
//! router can offer as parameters.

pub(crate) mod aux_loss;
mod balance;
mod load;
pub(crate) mod options;
mod rows;

pub use aux_loss::{AuxLoss, total_loss};
pub use balance::{importance, importance_of_weights, load_balance, load_balance_top1};
pub use load::{load, load_with_noise};
pub use options::AuxOptions;
pub use rows::{entropy, router_z, trimmed_lasso};
