use std::path::{Path, PathBuf};

use moe_core::nearest_name;

use crate::catalog::provenance;
use crate::catalog::provenance::{Download, Provenance};
use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::formats::binary;
use crate::options::LoadOptions;
use crate::place::Place;
use crate::ratings::rating_set::RatingSet;
#[cfg(feature = "celeba")]
use crate::sets::celeba;
use crate::sets::{
    book_crossing, digits, jester, mnist, movielens, movielens_mtl, movietweetings, multi_mnist,
    multi_optdigits, optdigits, own_table, restaurant, svhn, synthetic, usps,
};

/// A data set as it stands in the [`catalog`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Its name in configurations and results.
    pub id: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// Where its rows come from.
    pub origin: Origin,
    /// Licence or terms of the data, and whom to credit.
    pub terms: &'static str,
    defaults: &'static LoadOptions,
    /// Options without a default.
    takes: &'static [&'static str],
    load: fn(&LoadOptions) -> Result<Dataset, DataError>,
}

/// Where a data set's rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// They travel inside this crate.
    Embedded,
    /// They are computed.
    Generated,
    /// They are read from files.
    Files {
        /// Name of the set's folder in the data directory.
        folder: &'static str,
        /// The files that the folder should hold.
        files: &'static str,
        /// Where they come from.
        get: &'static str,
    },
}

const OPTDIGITS_TERMS: &str =
    "CC BY 4.0; E. Alpaydin and C. Kaynak, UCI Machine Learning Repository";

/// The entry of a set of ratings.
const fn ratings(
    set: &'static RatingSet,
    load: fn(&LoadOptions) -> Result<Dataset, DataError>,
) -> Entry {
    Entry {
        id: set.id,
        summary: set.summary,
        origin: match set.embedded {
            Some(_) => Origin::Embedded,
            None => Origin::Files { folder: set.folder, files: set.files, get: set.get },
        },
        terms: set.terms,
        defaults: &set.defaults,
        takes: set.takes,
        load,
    }
}

/// The origin of a set whose files are in this place.
const fn files(place: Place) -> Origin {
    let Place { folder, files, get } = place;
    Origin::Files { folder, files, get }
}

/// The entry of a set of pictures that is read from files.
const fn pictures(
    id: &'static str,
    summary: &'static str,
    place: Place,
    terms: &'static str,
    takes: &'static [&'static str],
    load: fn(&LoadOptions) -> Result<Dataset, DataError>,
) -> Entry {
    let origin = files(place);
    Entry { id, summary, origin, terms, defaults: &LoadOptions::NONE, takes, load }
}

const MNIST_TERMS: &str =
    "CC BY-SA 3.0 as commonly stated; Yann LeCun, Corinna Cortes and Chris Burges";
const FASHION_TERMS: &str = "MIT; copyright 2017 Zalando SE";

static CATALOG: &[Entry] = &[
    Entry {
        id: optdigits::ID,
        summary: "8x8 handwritten digits, one task",
        origin: Origin::Embedded,
        terms: OPTDIGITS_TERMS,
        defaults: &LoadOptions::NONE,
        takes: &[],
        load: optdigits::load,
    },
    Entry {
        id: multi_optdigits::ID,
        summary: "two overlaid handwritten digits, a task for each",
        origin: Origin::Embedded,
        terms: OPTDIGITS_TERMS,
        defaults: &multi_optdigits::DEFAULTS,
        takes: &[],
        load: multi_optdigits::load,
    },
    Entry {
        id: restaurant::ID,
        summary: "users' marks for restaurants, their food and their service",
        origin: Origin::Embedded,
        terms: "CC BY 4.0; R. Vargas-Govea, G. Gonzalez-Serna and R. Ponce-Medellin, \
                UCI Machine Learning Repository",
        defaults: &LoadOptions::NONE,
        takes: &["unknown"],
        load: restaurant::load,
    },
    Entry {
        id: synthetic::ID,
        summary: "rows planted for known experts, one regression task",
        origin: Origin::Generated,
        terms: "none",
        defaults: &synthetic::DEFAULTS,
        takes: &[],
        load: synthetic::load,
    },
    Entry {
        id: movielens_mtl::ID,
        summary: "MovieLens 1M with COMET's two tasks, watch and rating",
        origin: files(movielens_mtl::PLACE),
        terms: "MovieLens 1M licence: research use, no redistribution without permission, \
                no commercial use; GroupLens, University of Minnesota",
        defaults: &LoadOptions::NONE,
        takes: &["test_file"],
        load: movielens_mtl::load,
    },
    ratings(&movielens::M100K, |options| movielens::M100K.load(options)),
    ratings(&movielens::LATEST_SMALL, |options| movielens::LATEST_SMALL.load(options)),
    ratings(&movielens::M1M, |options| movielens::M1M.load(options)),
    ratings(&movielens::M10M, |options| movielens::M10M.load(options)),
    ratings(&movielens::M20M, |options| movielens::M20M.load(options)),
    ratings(&movielens::M25M, |options| movielens::M25M.load(options)),
    ratings(&movielens::M32M, |options| movielens::M32M.load(options)),
    ratings(&movielens::CSV, |options| movielens::CSV.load(options)),
    ratings(&jester::SET, |options| jester::SET.load(options)),
    ratings(&book_crossing::SET, |options| book_crossing::SET.load(options)),
    ratings(&movietweetings::SET, |options| movietweetings::SET.load(options)),
    pictures(
        mnist::MNIST.id,
        "28x28 handwritten digits, one task",
        mnist::MNIST.place,
        MNIST_TERMS,
        &[],
        |options| mnist::MNIST.load(options),
    ),
    pictures(
        mnist::FASHION.id,
        "28x28 pictures of clothes, one task",
        mnist::FASHION.place,
        FASHION_TERMS,
        &[],
        |options| mnist::FASHION.load(options),
    ),
    pictures(
        multi_mnist::MNIST_ID,
        "two overlaid digits of MNIST on 36x36, a task for each",
        mnist::MNIST.place,
        MNIST_TERMS,
        multi_mnist::TAKES,
        |options| multi_mnist::load(multi_mnist::MNIST_ID, &mnist::MNIST, options),
    ),
    pictures(
        multi_mnist::FASHION_ID,
        "two overlaid articles of Fashion-MNIST on 36x36, a task for each",
        mnist::FASHION.place,
        FASHION_TERMS,
        multi_mnist::TAKES,
        |options| multi_mnist::load(multi_mnist::FASHION_ID, &mnist::FASHION, options),
    ),
    pictures(
        usps::ID,
        "16x16 handwritten digits from envelopes, one task",
        usps::PLACE,
        "unclear, in wide research use: do not redistribute; the USPS digits, Jonathan Hull 1994",
        &[],
        usps::load,
    ),
    pictures(
        svhn::ID,
        "32x32 colour pictures of house numbers' digits, one task",
        svhn::PLACE,
        "non-commercial use; Yuval Netzer and others 2011, Stanford University and Google",
        &[],
        svhn::load,
    ),
    pictures(
        digits::ID,
        "32x32 grey digits of MNIST and SVHN (or USPS), one task",
        digits::PLACE,
        "those of mnist and svhn (or usps)",
        &[],
        digits::load,
    ),
    #[cfg(feature = "celeba")]
    pictures(
        celeba::ID,
        "faces with ten attributes, a task for each",
        celeba::PLACE,
        "non-commercial research only, no redistribution; Ziwei Liu and others, Chinese University of Hong Kong",
        &[],
        celeba::load,
    ),
    Entry {
        id: own_table::ID,
        summary: "a table of your own, CSV or Parquet; its columns are described in [dataset.table]",
        origin: files(own_table::PLACE),
        terms: "those of the file",
        defaults: &own_table::DEFAULTS,
        takes: &["table"],
        load: own_table::load,
    },
];

impl Entry {
    /// Names of the options that this set takes, as in [`LoadOptions`].
    pub fn options(&self) -> Vec<&'static str> {
        self.defaults.names(self.takes)
    }

    /// The options with all gaps filled by this set's defaults, as [`Entry::load`] uses them.
    ///
    /// # Errors
    /// [`DataError::OptionDoesNotApply`] if an option is given that this set does not take.
    pub fn resolve(&self, options: &LoadOptions) -> Result<LoadOptions, DataError> {
        options.filled(self.id, self.defaults, self.takes)
    }

    /// Files that can be fetched (feature `download`).
    pub fn downloads(&self) -> &'static [Download<'static>] {
        self.provenance().downloads
    }

    /// What is known of the whole original, named as in [`Stats::measures`](crate::Stats::measures).
    pub fn facts(&self) -> &'static [(&'static str, f64)] {
        self.provenance().facts
    }

    /// Those files of the original distribution that are in the set's folder, and whether their content is the
    /// original one.
    ///
    /// # Errors
    /// If there is no data directory, or a file cannot be read.
    pub fn check_files(&self, data_dir: Option<&Path>) -> Result<Vec<(PathBuf, bool)>, DataError> {
        let Origin::Files { folder, .. } = self.origin else { return Ok(Vec::new()) };
        let dir = crate::data_dir(data_dir).ok_or(DataError::NoDataDir { dataset: self.id })?;
        let mut found = Vec::new();
        for &(name, sha256) in self.provenance().known {
            for path in [name.to_owned(), format!("{name}.gz")].map(|n| dir.join(folder).join(n)) {
                if path.exists() {
                    let is_original = binary::sha256_unpacked(&path)? == sha256;
                    found.push((path, is_original));
                }
            }
        }
        Ok(found)
    }

    pub(crate) fn provenance(&self) -> Provenance {
        provenance::of(self.id)
    }

    /// Loads the data set.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        (self.load)(&self.resolve(options)?)
    }
}

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
/// If there is no such set, an option does not apply or is out of range, a file is missing, unreadable
/// or malformed, or a part is empty.
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
            assert!(!entry.summary.contains('\n') && !entry.terms.contains('\n'));
            let Provenance { downloads, known, .. } = entry.provenance();
            let sums = known.iter().map(|file| file.1);
            for sum in sums.chain(downloads.iter().filter_map(|download| download.sha256)) {
                assert!(sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()));
            }
        }
    }
}
