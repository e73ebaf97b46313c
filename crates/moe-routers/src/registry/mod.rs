//! Routers by name: how they are described, configured, checked and built.

pub(crate) mod entry;
pub(crate) mod error;
pub(crate) mod info;
pub(crate) mod option_reader;
pub(crate) mod parameters;
pub(crate) mod registry;
