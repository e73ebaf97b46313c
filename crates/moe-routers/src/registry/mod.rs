//! Routers by name: how they are described, configured, checked and built.

pub(crate) mod parameters;
pub(crate) mod registry;
