//! Data sets of pictures, and pairs of pictures laid over each other.

pub(crate) mod overlay;
pub(crate) mod pictures;
