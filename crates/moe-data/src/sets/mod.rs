//! The data sets, one file each.

pub(crate) mod book_crossing;
#[cfg(feature = "celeba")]
pub(crate) mod celeba;
pub(crate) mod digits;
pub(crate) mod jester;
pub(crate) mod mnist;
pub(crate) mod movielens;
pub(crate) mod movielens_mtl;
pub(crate) mod movietweetings;
pub(crate) mod multi_mnist;
pub(crate) mod multi_optdigits;
pub(crate) mod optdigits;
pub(crate) mod own_table;
pub(crate) mod restaurant;
pub(crate) mod svhn;
pub(crate) mod synthetic;
pub(crate) mod usps;
