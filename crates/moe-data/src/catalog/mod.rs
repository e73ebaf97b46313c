//! The data sets by name: `catalog` lists the `entry` of each, `fetch` gets the files of an entry's `download`s.

pub(crate) mod catalog;
pub(crate) mod download;
pub(crate) mod entry;
#[cfg(feature = "download")]
pub(crate) mod fetch;
