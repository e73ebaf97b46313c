//! Optimisers with parameter groups, learning rate schedules and gradient clipping.

mod adam;
pub(crate) mod clipping;
pub(crate) mod error;
pub(crate) mod groups;
mod moments;
pub(crate) mod optimizer;
pub(crate) mod options;
pub(crate) mod schedule;
mod sgd;
mod span;
mod update;
