//! Layers that map rows to rows, and the embedding tables before them.

pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod layer;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod mlp;
