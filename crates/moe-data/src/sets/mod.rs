//! The data sets. A set is a file and its two lines here: `mod` and entry.

pub(crate) mod book_crossing;
#[cfg(feature = "celeba")]
pub(crate) mod celeba;
pub(crate) mod digits;
pub(crate) mod domain_optdigits;
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

use crate::catalog::entry::Entry;

/// The data sets, in the order in which they are listed.
pub(crate) static ENTRIES: &[Entry] = &[
    optdigits::ENTRY,
    multi_optdigits::ENTRY,
    domain_optdigits::ENTRY,
    restaurant::ENTRY,
    synthetic::ENTRY,
    movielens_mtl::ENTRY,
    movielens::M100K,
    movielens::LATEST_SMALL,
    movielens::M1M,
    movielens::M10M,
    movielens::M20M,
    movielens::M25M,
    movielens::M32M,
    movielens::CSV,
    jester::ENTRY,
    book_crossing::ENTRY,
    movietweetings::ENTRY,
    mnist::MNIST,
    mnist::FASHION,
    multi_mnist::MNIST,
    multi_mnist::FASHION,
    usps::ENTRY,
    svhn::ENTRY,
    digits::ENTRY,
    #[cfg(feature = "celeba")]
    celeba::ENTRY,
    own_table::ENTRY,
];
