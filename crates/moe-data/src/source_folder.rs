use std::path::{Path, PathBuf};

use crate::catalog::entry::Origin;
use crate::data_dir::data_dir;
use crate::error::DataError;
use crate::options::LoadOptions;

/// The folder of a set that is read from files, and where these come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceFolder {
    /// Name of the folder in the data directory.
    pub(crate) name: &'static str,
    /// The files that it should hold, in words.
    pub(crate) files: &'static str,
    /// Where to get them, in words.
    pub(crate) get: &'static str,
}

impl SourceFolder {
    /// The origin of a set whose files are in this folder.
    pub(crate) const fn origin(self) -> Origin {
        Origin::Files { folder: self.name, files: self.files, get: self.get }
    }

    /// The path of the folder.
    ///
    /// # Errors
    /// If there is no data directory.
    pub(crate) fn path(
        &self,
        dataset: &'static str,
        options: &LoadOptions,
    ) -> Result<PathBuf, DataError> {
        let dir = data_dir(options.data_dir.as_deref()).ok_or(DataError::NoDataDir { dataset })?;
        Ok(dir.join(self.name))
    }

    /// The error that `missing` is not in the folder at `path`.
    pub(crate) fn missing(&self, dataset: &'static str, path: &Path, missing: &str) -> DataError {
        DataError::Missing {
            dataset,
            missing: missing.to_owned(),
            folder: path.to_path_buf(),
            files: self.files,
            get: self.get,
        }
    }
}

/// The path of a file in a folder: packed with gzip if there is such a file, else plain; `None` if there is neither.
pub(crate) fn packed_or_plain(folder: &Path, name: &str) -> Option<PathBuf> {
    let paths = [folder.join(format!("{name}.gz")), folder.join(name)];
    paths.into_iter().find(|path| path.exists())
}
