//! Data sets of pictures, and of pairs of overlaid pictures.

pub(crate) mod overlay;
pub(crate) mod pictures;
