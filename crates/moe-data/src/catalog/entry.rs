use std::path::{Path, PathBuf};

use crate::catalog::download::Download;
use crate::data_dir::data_dir;
use crate::dataset::dataset::Dataset;
use crate::error::DataError;
use crate::formats::unpack::sha256_unpacked;
use crate::named_file::absolute;
use crate::options::LoadOptions;

/// A data set of the [`catalog`](crate::catalog()).
#[derive(Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Its name in configurations and results.
    pub id: &'static str,
    /// A one-line description.
    pub summary: &'static str,
    /// The source of its rows.
    pub origin: Origin,
    /// Licence or terms of the data, and whom to credit.
    pub terms: &'static str,
    /// What the planted groups of its rows are, such as "domain"; `None` if its rows have none. See
    /// [`Split::groups`](crate::Split::groups).
    pub groups: Option<&'static str>,
    /// Whether the terms must be accepted before its files are fetched.
    #[cfg_attr(not(feature = "download"), expect(dead_code, reason = "only fetching asks"))]
    pub(crate) must_accept: bool,
    pub(crate) downloads: &'static [Download<'static>],
    /// Files of the original distribution, with the SHA-256 of their (unpacked) content.
    pub(crate) originals: &'static [(&'static str, &'static str)],
    pub(crate) facts: &'static [(&'static str, f64)],
    /// The options that have a default.
    pub(crate) defaults: fn() -> LoadOptions,
    /// Names of the other options that it takes.
    pub(crate) takes: &'static [&'static str],
    pub(crate) load: fn(&LoadOptions) -> Result<Dataset, DataError>,
}

/// The source of a data set's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// They are part of this crate.
    Embedded,
    /// They are generated.
    Generated,
    /// They are read from files.
    Files {
        /// Name of the set's folder in the data directory.
        folder: &'static str,
        /// The files that the folder should hold.
        files: &'static str,
        /// Where to get them.
        get: &'static str,
    },
}

impl Entry {
    /// A base for entries, to be completed with `..Entry::NEW`: generated, without options, downloads or known figures.
    pub(crate) const NEW: Entry = Entry {
        id: "",
        summary: "",
        origin: Origin::Generated,
        terms: "none",
        groups: None,
        must_accept: false,
        downloads: &[],
        originals: &[],
        facts: &[],
        defaults: LoadOptions::default,
        takes: &[],
        load: |_| unreachable!("every entry of the catalog has its own"),
    };

    /// Names of the options that this set takes, as in [`LoadOptions`].
    pub fn options(&self) -> Vec<&'static str> {
        LoadOptions::taken(&(self.defaults)(), self.takes)
    }

    /// The given options with all gaps filled by this set's defaults, and absolute paths of the files that
    /// [`TableOptions::file`](crate::TableOptions::file) and `ratings_file` name, so that they mean the same from any
    /// working directory.
    ///
    /// # Errors
    /// [`DataError::OptionDoesNotApply`] if an option is given that this set does not take.
    pub fn resolve(&self, options: &LoadOptions) -> Result<LoadOptions, DataError> {
        let mut options = self.filled(options)?;
        let folder = data_dir(options.data_dir.as_deref()).map(|dir| dir.join(self.folder()));
        for file in options.named_files() {
            *file = absolute(folder.as_deref(), file);
        }
        Ok(options)
    }

    /// The options with another data directory. A file that they name, also by an absolute path, is the one of this name in
    /// the set's folder there, if there is one.
    #[must_use]
    pub fn moved(&self, mut options: LoadOptions, dir: &Path) -> LoadOptions {
        let folder = dir.join(self.folder());
        for file in options.named_files() {
            let there = file.file_name().map(|name| folder.join(name));
            *file = there.filter(|path| path.exists()).unwrap_or_else(|| file.clone());
        }
        LoadOptions { data_dir: Some(dir.to_path_buf()), ..options }
    }

    fn filled(&self, options: &LoadOptions) -> Result<LoadOptions, DataError> {
        options.filled(self.id, &(self.defaults)(), self.takes)
    }

    /// Name of the set's folder in the data directory.
    fn folder(&self) -> &'static str {
        match self.origin {
            Origin::Files { folder, .. } => folder,
            _ => self.id,
        }
    }

    /// Files that can be fetched (feature `download`).
    pub fn downloads(&self) -> &'static [Download<'static>] {
        self.downloads
    }

    /// Known figures of the complete original, named as in [`Stats::measures`](crate::Stats::measures).
    pub fn facts(&self) -> &'static [(&'static str, f64)] {
        self.facts
    }

    /// The files of the original distribution that are in the set's folder, each with whether its content is the original
    /// one.
    ///
    /// # Errors
    /// If there is no data directory, or a file cannot be read.
    pub fn check_files(&self, dir: Option<&Path>) -> Result<Vec<(PathBuf, bool)>, DataError> {
        let Origin::Files { folder, .. } = self.origin else { return Ok(Vec::new()) };
        let dir = data_dir(dir).ok_or(DataError::NoDataDir { dataset: self.id })?;
        let mut found = Vec::new();
        for &(name, sha256) in self.originals {
            for path in [name.to_owned(), format!("{name}.gz")].map(|n| dir.join(folder).join(n)) {
                if path.exists() {
                    let is_original = sha256_unpacked(&path)? == sha256;
                    found.push((path, is_original));
                }
            }
        }
        Ok(found)
    }

    /// Loads the data set.
    ///
    /// # Errors
    /// As [`load`](crate::load()).
    pub fn load(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        (self.load)(&self.filled(options)?)
    }
}
