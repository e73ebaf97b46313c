use moe_core::nearest_name;

use crate::catalog::entry::Entry;
use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::options::LoadOptions;
#[cfg(feature = "celeba")]
use crate::sets::celeba;
use crate::sets::{
    book_crossing, digits, jester, mnist, movielens, movielens_mtl, movietweetings, multi_mnist,
    multi_optdigits, optdigits, own_table, restaurant, svhn, synthetic, usps,
};

static CATALOG: &[Entry] = &[
    optdigits::ENTRY,
    multi_optdigits::ENTRY,
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

/// All data sets.
pub fn catalog() -> &'static [Entry] {
    CATALOG
}

/// The data set with this id.
///
/// # Errors
/// [`DataError::UnknownDataset`] with the nearest id and the list of all.
pub fn find(id: &str) -> Result<&'static Entry, DataError> {
    let found = CATALOG.iter().find(|entry| entry.id == id);
    found.ok_or_else(|| DataError::UnknownDataset {
        id: id.to_owned(),
        nearest: nearest_name(id, CATALOG.iter().map(|entry| entry.id)),
        known: CATALOG.iter().map(|entry| entry.id).collect::<Vec<_>>().join(", "),
    })
}

/// Loads the data set `id`.
///
/// # Errors
/// If there is no such set, an option does not apply or is out of range, a file is missing, unreadable or malformed, or
/// a split is empty.
pub fn load(id: &str, options: &LoadOptions) -> Result<Dataset, DataError> {
    find(id)?.load(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_lines_are_lines() {
        for (index, entry) in CATALOG.iter().enumerate() {
            assert!(CATALOG[..index].iter().all(|other| other.id != entry.id));
            for line in [entry.id, entry.summary, entry.terms] {
                assert!(!line.is_empty() && !line.contains('\n'));
            }
            let sums = entry.originals.iter().map(|file| file.1);
            let fetched = entry.downloads.iter().filter_map(|download| download.sha256);
            for sum in sums.chain(fetched) {
                assert!(sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()));
            }
            assert!(entry.takes.iter().all(|name| LoadOptions::NAMES.contains(name)));
        }
    }
}
