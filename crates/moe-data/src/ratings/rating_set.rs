//! Sets of ratings: where their files are, and the one way from files to a data set.

use std::fs;
use std::path::{Path, PathBuf};

use crate::catalog::entry::{Entry, Origin};
use crate::data_dir::data_dir;
use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::named_file::named;
use crate::options::LoadOptions;
use crate::ratings::cache::Cache;
use crate::ratings::prepared::Prepared;
use crate::ratings::ratings::{Collector, Duplicates};
use crate::ratings::source::Source;
use crate::source_folder::{SourceFolder, packed_or_plain};

/// The properties of one set of ratings.
pub(crate) struct RatingSet {
    pub(crate) id: &'static str,
    pub(crate) source: SourceFolder,
    /// Names of the original files, in the order in which they are read; all that exist are read.
    pub(crate) names: &'static [&'static str],
    /// The beginning of the name of a file that is read instead if it is the only such one; the ending is the same.
    pub(crate) stem: &'static str,
    /// A file to use if there is no other: its name and content.
    pub(crate) embedded: Option<(&'static str, &'static [u8])>,
    /// Names of the columns of users and of what they rate, unless the options name others.
    pub(crate) columns: [&'static str; 2],
    pub(crate) duplicates: Duplicates,
    /// Passes the ratings of a file to the collector.
    pub(crate) read: fn(&Source, &LoadOptions, &mut Collector) -> Result<(), DataError>,
}

/// Defaults of all sets of ratings: COMET's negatives and shares.
pub(crate) fn defaults() -> LoadOptions {
    LoadOptions {
        min_ratings: Some(1),
        negatives: Some(1),
        test_share: Some(0.1),
        val_share: Some(0.125),
        cache: Some(true),
        ..LoadOptions::default()
    }
}

impl RatingSet {
    /// The entry of the set, without summary and terms; `load` is its [`RatingSet::load`].
    pub(crate) const fn entry(
        &self,
        load: fn(&LoadOptions) -> Result<Dataset, DataError>,
    ) -> Entry {
        let origin = match self.embedded {
            Some(_) => Origin::Embedded,
            None => self.source.origin(),
        };
        let takes = &["ratings_file", "cache_dir", "unknown"];
        Entry { id: self.id, origin, defaults, takes, load, ..Entry::NEW }
    }

    pub(crate) fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        let columns = self.column_names(options)?;
        let sources = self.sources(options)?;
        let cache = Cache::new(self.id, options, &sources)?;
        if let Some(prepared) = cache.as_ref().and_then(Cache::read) {
            return prepared.into_dataset(self.id, columns, options.unknown);
        }
        // Somebody else may have prepared the set until the lock is free.
        let _lock = cache.as_ref().and_then(Cache::lock);
        if let Some(prepared) = cache.as_ref().and_then(Cache::read) {
            return prepared.into_dataset(self.id, columns, options.unknown);
        }
        let mut ratings = Collector::default();
        for source in &sources {
            (self.read)(source, options, &mut ratings)?;
        }
        let least = options.min_ratings.unwrap_or_default();
        let ratings = ratings.finish(self.duplicates, least, sources[0].path())?;
        let prepared = Prepared::new(self.id, ratings, options)?;
        if let Some(cache) = cache {
            cache.write(&prepared);
        }
        prepared.into_dataset(self.id, columns, options.unknown)
    }

    /// Names of the columns of ids: those of the file if the options name them.
    fn column_names<'a>(&self, options: &'a LoadOptions) -> Result<[&'a str; 2], DataError> {
        let [user, item] = self.columns;
        let names = [
            options.user_column.as_deref().unwrap_or(user),
            options.item_column.as_deref().unwrap_or(item),
        ];
        if names[0] == names[1] {
            let (option, value) = ("item_column", names[1].to_owned());
            let allowed = "another column than user_column".into();
            return Err(DataError::BadOption { dataset: self.id, option, value, allowed });
        }
        Ok(names)
    }

    /// The files to read, at least one.
    fn sources(&self, options: &LoadOptions) -> Result<Vec<Source>, DataError> {
        let folder = data_dir(options.data_dir.as_deref()).map(|dir| dir.join(self.source.name));
        if let Some(file) = &options.ratings_file {
            let path = named(self.id, folder.as_deref(), file)?;
            return Ok(vec![Source::File(path)]);
        }
        let mut found = Vec::new();
        if let Some(folder) = &folder {
            // The original files that exist.
            found.extend(self.names.iter().filter_map(|name| packed_or_plain(folder, name)));
            if found.is_empty() {
                found.extend(self.only_other(folder)?);
            }
        }
        match (found.is_empty(), self.embedded, folder) {
            (false, ..) => Ok(found.into_iter().map(Source::File).collect()),
            (true, Some((name, bytes)), _) => Ok(vec![Source::Embedded(name, bytes)]),
            (true, None, Some(folder)) => Err(self.source.missing(self.id, &folder, self.names[0])),
            (true, None, None) => Err(DataError::NoDataDir { dataset: self.id }),
        }
    }

    /// The one file in the folder whose name resembles the original ones.
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
