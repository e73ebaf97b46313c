//! Models on disk: run directories, manifests, weights, and weights of other programs.

pub(crate) mod import;
pub(crate) mod run_dir;
pub(crate) mod run_manifest;
pub(crate) mod weights;
