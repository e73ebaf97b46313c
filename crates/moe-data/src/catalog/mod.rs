//! The data sets by name: what there is, where files come from, and how a set is loaded.

pub(crate) mod catalog;
#[cfg(feature = "download")]
pub(crate) mod fetch;
pub(crate) mod provenance;
