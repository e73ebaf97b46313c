//! A data set in memory: its table, its splits and its statistics.

pub(crate) mod dataset;
pub(crate) mod split;
pub(crate) mod stats;
pub(crate) mod table;
