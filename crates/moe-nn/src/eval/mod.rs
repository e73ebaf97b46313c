//! Evaluation: metrics and their confidence intervals.

pub(crate) mod evaluate;
pub mod intervals;
pub mod metrics;
