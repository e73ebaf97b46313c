//! Layers that map rows to rows, and embedding tables.

pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod forward;
pub(crate) mod layer;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod mlp;
pub(crate) mod stage;
