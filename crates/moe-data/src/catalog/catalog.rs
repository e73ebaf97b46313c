use moe_core::nearest_name;

use crate::catalog::entry::Entry;
use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::options::LoadOptions;
use crate::sets::ENTRIES;

/// All data sets.
pub fn catalog() -> &'static [Entry] {
    ENTRIES
}

/// The data set with this id.
///
/// # Errors
/// [`DataError::UnknownDataset`] with the nearest id and the list of all.
pub fn find(id: &str) -> Result<&'static Entry, DataError> {
    let found = ENTRIES.iter().find(|entry| entry.id == id);
    found.ok_or_else(|| DataError::UnknownDataset {
        id: id.to_owned(),
        nearest: nearest_name(id, ENTRIES.iter().map(|entry| entry.id)),
        known: ENTRIES.iter().map(|entry| entry.id).collect::<Vec<_>>().join(", "),
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
        for (index, entry) in ENTRIES.iter().enumerate() {
            assert!(ENTRIES[..index].iter().all(|other| other.id != entry.id));
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
