//! DSelect-k: K selectors, each a binary code of an expert.

pub(crate) mod binary_codes;
pub(crate) mod dselect_k;
