//! Models on disk: run directories with their manifest and checkpoints, weights, and weights of other programs.

pub(crate) mod checkpoint;
pub(crate) mod format_1;
pub(crate) mod generations;
pub(crate) mod import;
pub(crate) mod run_dir;
pub(crate) mod run_files;
pub(crate) mod run_lock;
pub(crate) mod run_manifest;
pub(crate) mod saved_model;
pub(crate) mod weights;
