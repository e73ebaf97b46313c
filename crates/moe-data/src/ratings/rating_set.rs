//! Sets of ratings: where their files are, and the one way from files to a data set.

use std::fs;
use std::path::{Path, PathBuf};

use crate::data_dir;
use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::formats::dialect::Dialect;
use crate::formats::fields::Fields;
use crate::options::LoadOptions;
use crate::ratings::cache::Cache;
use crate::ratings::prepared::Prepared;
use crate::ratings::ratings::{Collector, Duplicates};

/// What tells one set of ratings from another.
pub(crate) struct RatingSet {
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) terms: &'static str,
    /// Name of the folder in the data directory.
    pub(crate) folder: &'static str,
    /// Names of the original files in the order in which they are read; all that are there count.
    pub(crate) names: &'static [&'static str],
    /// How the name of a file begins that takes their place if it is the only one, the ending being the same.
    pub(crate) stem: &'static str,
    /// The files that the folder should hold, in words.
    pub(crate) files: &'static str,
    /// Where they come from.
    pub(crate) get: &'static str,
    /// A file to use if there is no other: its name and content.
    pub(crate) embedded: Option<(&'static str, &'static [u8])>,
    /// What is rated.
    pub(crate) item: &'static str,
    pub(crate) duplicates: Duplicates,
    pub(crate) defaults: LoadOptions,
    /// Options without a default.
    pub(crate) takes: &'static [&'static str],
    /// Passes the ratings of a file on.
    pub(crate) read: fn(&Source, &LoadOptions, &mut Collector) -> Result<(), DataError>,
}

/// Options that all sets of ratings have: COMET's negatives and shares.
pub(crate) const DEFAULTS: LoadOptions = LoadOptions {
    min_ratings: Some(1),
    negatives: Some(1),
    test_share: Some(0.1),
    val_share: Some(0.125),
    cache: Some(true),
    ..LoadOptions::NONE
};
/// Options without a default that all sets of ratings have.
pub(crate) const TAKES: &[&str] = &["ratings_file", "cache_dir", "unknown"];

/// Where ratings are read from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File(PathBuf),
    Embedded(&'static str, &'static [u8]),
}

impl Source {
    /// The source's records. Without names, [`Fields::header`] must come next.
    pub(crate) fn fields(&self, dialect: Dialect, names: &[&str]) -> Result<Fields, DataError> {
        match self {
            Source::File(path) => Fields::open_as(dialect, path, names),
            Source::Embedded(name, bytes) => {
                Ok(Fields::embedded_as(dialect, name, bytes, names.len(), names))
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Source::File(path) => path,
            Source::Embedded(name, _) => Path::new(name),
        }
    }
}

impl RatingSet {
    pub(crate) fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        let sources = self.sources(options)?;
        let cache = Cache::new(self.id, options, &sources)?;
        if let Some(prepared) = cache.as_ref().and_then(Cache::read) {
            return prepared.into_dataset(self.id, self.item, options.unknown);
        }
        let mut ratings = Collector::default();
        for source in &sources {
            (self.read)(source, options, &mut ratings)?;
        }
        let least = options.min_ratings.unwrap_or_default();
        let ratings = ratings.finish(self.duplicates, least, sources[0].path())?;
        let prepared = Prepared::new(self.id, ratings, options)?;
        if let Some(cache) = cache {
            cache.write(&prepared)?;
        }
        prepared.into_dataset(self.id, self.item, options.unknown)
    }

    /// The files to read, at least one.
    fn sources(&self, options: &LoadOptions) -> Result<Vec<Source>, DataError> {
        let folder = data_dir(options.data_dir.as_deref()).map(|dir| dir.join(self.folder));
        let missing = |folder: &Path, missing: &str| DataError::Missing {
            dataset: self.id,
            missing: missing.to_owned(),
            folder: folder.to_path_buf(),
            files: self.files,
            get: self.get,
        };
        if let Some(file) = &options.ratings_file {
            let places = folder.iter().map(|folder| folder.join(file)).chain([file.clone()]);
            let found = places.into_iter().find(|path| path.exists());
            let nowhere = || {
                let folder = folder.as_deref().unwrap_or(Path::new("."));
                missing(folder, &format!("{} (nor is it here)", file.display()))
            };
            return Ok(vec![Source::File(found.ok_or_else(nowhere)?)]);
        }
        let found = match &folder {
            Some(folder) => self.originals(folder),
            None => Vec::new(),
        };
        let found = match (found.is_empty(), &folder) {
            (true, Some(folder)) => Vec::from_iter(self.only_other(folder)?),
            _ => found,
        };
        match (found.is_empty(), self.embedded, folder) {
            (false, ..) => Ok(found.into_iter().map(Source::File).collect()),
            (true, Some((name, bytes)), _) => Ok(vec![Source::Embedded(name, bytes)]),
            (true, None, Some(folder)) => Err(missing(&folder, self.names[0])),
            (true, None, None) => Err(DataError::NoDataDir { dataset: self.id }),
        }
    }

    /// Those of the original files that are there, plain or packed.
    fn originals(&self, folder: &Path) -> Vec<PathBuf> {
        let file = |name: &&str| {
            let plain = folder.join(name);
            let packed = folder.join(format!("{name}.gz"));
            [packed, plain].into_iter().find(|path| path.exists())
        };
        self.names.iter().filter_map(file).collect()
    }

    /// The one file in the folder that is named like the original ones.
    fn only_other(&self, folder: &Path) -> Result<Option<PathBuf>, DataError> {
        let ending = self.names[0].rsplit('.').next().unwrap_or_default();
        let alike = |name: &String| {
            let plain = name.strip_suffix(".gz").unwrap_or(name);
            name.starts_with(self.stem)
                && plain.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.'))
        };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(alike).collect();
        names.sort();
        match &names[..] {
            [] => Ok(None),
            [name] => Ok(Some(folder.join(name))),
            _ => Err(DataError::Ambiguous {
                dataset: self.id,
                folder: folder.to_path_buf(),
                found: names.join(", "),
            }),
        }
    }
}
